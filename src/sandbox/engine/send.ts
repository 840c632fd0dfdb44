import type { Json, SentMessage } from '../store/records.js'
import type { Behaviour } from './behaviours.js'
import { SEND_SITUATIONS } from './behaviours.js'
import type { Build, Content } from './content.js'
import { badRequest, databaseText, failure, thrown } from './failure.js'
import { newKeyId, nowSeconds } from './ids.js'
import type { Instance } from './instance.js'
import { digitsOf, isGroup, isLid, jidOf, lidOf, withoutLid } from './jid.js'
import { store, usualContext, type Message } from './message.js'
import { answerEcho, sendReceipts } from './other-side.js'

/** What the caller gets: a body, or one of the ways in which there is none. */
export type SendAnswer = { kind: 'created'; body: Message } | { kind: 'html_500' } | { kind: 'reset' }

interface Sending {
  instance: Instance
  jid: string
  behaviour: Behaviour
  content: Content
  body: Json
}

/** The whole life of a send, from the request to what the caller is told. */
export async function send(instance: Instance, body: Json, build: Build, number: string): Promise<SendAnswer> {
  const jid = jidOf(number)
  const behaviour = behaviourOf(instance, jid)
  const isUpload = 'mediatype' in body || 'audio' in body || 'sticker' in body || 'video' in body
  if (isUpload) refuseUpload(instance, jid, behaviour)
  const content = await build(body)
  await lookUp(instance, number, jid, behaviour)
  if (typeof body.delay === 'number') await instance.world.timers.sleep(body.delay)

  const sending = { instance, jid, behaviour, content, body }
  const message = await instance.sending.run(() => write(sending))
  return answer(sending, message)
}

function behaviourOf(instance: Instance, jid: string): Behaviour {
  const { send: situation } = instance.troubles
  return { ...instance.world.directory.behaviourOf(jid), ...(situation && SEND_SITUATIONS[situation]) }
}

function refuseUpload(instance: Instance, jid: string, behaviour: Behaviour): void {
  const { started, online, qr } = instance.connection
  if (started && !online && !qr) {
    throw failure(500, ['Error: Connection Closed'])
  }
  if (behaviour.first_upload_fails && instance.world.directory.isFirstUpload(jid)) {
    throw failure(500, ['Error: Media upload failed on all hosts'])
  }
}

/** Asks WhatsApp whether the recipient exists, unless it was asked before. */
async function lookUp(instance: Instance, number: string, jid: string, behaviour: Behaviour): Promise<void> {
  const { connection, world } = instance
  if (!connection.started) throw thrown("Cannot read properties of undefined (reading 'onWhatsApp')")
  if (!connection.online) refuseOffline(instance, jid)
  if (isGroup(jid)) {
    if (!world.directory.groupName(jid)) throw badRequest('[object Object]')
    world.database.knownNumbers.add(jid)
    return
  }
  if (behaviour.wait === 'query' && behaviour.wait_unlocked) await world.timers.sleep(world.settings.query_timeout_ms)
  if (!behaviour.on_whatsapp && !isLid(jid)) throw badRequest({ jid, exists: false, number })
  if (!behaviour.refusal) world.database.knownNumbers.add(jid)
}

function refuseOffline(instance: Instance, jid: string): never {
  const { connection, world } = instance
  if (connection.qr) {
    throw badRequest("TypeError: Cannot read properties of undefined (reading 'id')")
  }
  if (isLid(jid) || world.database.knownNumbers.has(jid)) throw badRequest('Error: Connection Closed')
  if (isGroup(jid)) throw badRequest('[object Object]') // it asks for the group, and takes no answer for no group
  throw thrown('Connection Closed')
}

/** Holds the lock of the instance; once it returns, the message is with WhatsApp. */
async function write(sending: Sending): Promise<Message> {
  const { instance, behaviour } = sending
  const { timers, settings } = instance.world
  if (behaviour.wait === 'slow') await timers.sleep(settings.slow_ms)
  if (behaviour.wait === 'query' && !behaviour.wait_unlocked) {
    if (behaviour.drops) instance.connection.drop()
    await timers.sleep(settings.query_timeout_ms)
  }
  if (behaviour.refusal) throw failure(behaviour.refusal.status, behaviour.refusal.message)
  if (!instance.connection.online && behaviour.wait === 'none') refuseOffline(instance, sending.jid)

  const message = compose(sending)
  instance.world.database.recordSent(ledgerLine(sending, message))
  if (behaviour.recorded) {
    if (sending.content.media) {
      instance.world.database.saveMedia(sending.content.media.path, sending.content.media.bytes)
    }
    store(instance, message)
    void instance.emit('send.message', message)
    sendReceipts(instance, message.key, behaviour)
  }
  if (behaviour.drops) instance.connection.drop()
  if (behaviour.echo) answerEcho(instance, sending.jid, sending.content)
  return message
}

async function answer({ instance, behaviour }: Sending, message: Message): Promise<SendAnswer> {
  const { timers, settings } = instance.world
  switch (behaviour.answer) {
    case 'database_text': {
      const detail = 'The table `public.Message` does not exist in the current database.'
      throw badRequest(`PrismaClientKnownRequestError: ${databaseText(detail)}`)
    }
    case 'hang':
      await timers.sleep(settings.hang_seconds * 1000)
      break
    case 'html_500':
    case 'reset':
      return { kind: behaviour.answer }
    case 'created':
      if (behaviour.receipts === 'before_answer') await timers.sleep(50)
  }
  return { kind: 'created', body: message }
}

function compose({ instance, jid, behaviour, content, body }: Sending): Message {
  const contextInfo = content.contextual ? contextOf(instance, jid, body) : undefined
  return {
    key: { remoteJid: behaviour.lid ? lidOf(withoutLid(jid)) : withoutLid(jid), fromMe: true, id: newKeyId() },
    pushName: 'Você',
    status: 'PENDING',
    message: withContext(content, contextInfo),
    ...(contextInfo && { contextInfo }),
    messageType: content.type,
    messageTimestamp: nowSeconds(),
    instanceId: instance.id,
    source: 'web',
  }
}

/** Evolution shows the context twice: beside the message and inside of it, except for text. */
function withContext({ type, message }: Content, contextInfo: Json | undefined): Json {
  if (type === 'pollCreationMessageV3') {
    const info = { ...(message.messageContextInfo as Json), contextInfo: usualContext() }
    return { ...message, messageContextInfo: info }
  }
  if (!contextInfo || type === 'conversation') return message
  return { ...message, [type]: { ...(message[type] as Json), contextInfo } }
}

function contextOf(instance: Instance, jid: string, body: Json): Json {
  if (isGroup(jid) && (body.mentionsEveryOne === true || Array.isArray(body.mentioned))) {
    const mentioned = (body.mentioned as string[] | undefined)?.map(jidOf)
    return { mentionedJid: mentioned ?? [instance.wuid] }
  }
  const quotedId = ((body.quoted as Json | undefined)?.['key'] as Json | undefined)?.['id']
  const quoted = typeof quotedId === 'string' && instance.world.database.messages.byKey(instance.id, quotedId)
  if (!quoted) return usualContext()
  const participant = quoted.key.fromMe ? instance.wuid : withoutLid(quoted.key.remoteJid)
  return { ...usualContext(), participant, stanzaId: quoted.key.id, quotedMessage: quoted.message }
}

function ledgerLine({ instance, jid, behaviour, content }: Sending, message: Message): SentMessage {
  const phoneJid = withoutLid(jid)
  return {
    at: new Date().toISOString(),
    server: instance.world.settings.name,
    instance: instance.name,
    recipient: isGroup(jid) ? jid : digitsOf(phoneJid),
    jid: phoneJid,
    key_id: message.key.id,
    type: content.type,
    text: content.text,
    media_sha256: content.media?.sha256 ?? null,
    ...(behaviour.unreadable && { unreadable: true as const }),
  }
}
