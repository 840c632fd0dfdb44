import type { Json, MessageKey } from '../store/records.js'
import type { Behaviour } from './behaviours.js'
import { file, type Content } from './content.js'
import { newPhoneKeyId, nowSeconds } from './ids.js'
import type { Instance } from './instance.js'
import { digitsOf, isGroup, isLid, jidOf, lidOf, phoneJidOf, withoutLid } from './jid.js'
import { pictureSize } from './media.js'
import { reportStatus, store, type Message } from './message.js'

/** A message somebody else sends, or that is typed on the instance's own phone. */
export interface Written {
  /** Digits or a JID: who writes, or to whom the phone writes. */
  chat: string
  text?: string
  media?: { type: string; base64: string; mimetype: string; caption?: string; file_name?: string }
  /** A ready WhatsApp message, such as { locationMessage: {…} } or { reactionMessage: {…} }. */
  message?: Json
  quoted_key_id?: string
  push_name?: string
  /** The sender hides behind a privacy id. */
  lid?: boolean
  /** The group it is written in. */
  group?: string
  key_id?: string
}

/** What phones add to their media. */
const DESCRIBED: Record<string, Json> = {
  audio: { seconds: 4, ptt: true },
  video: { seconds: 9 },
  document: { pageCount: 1 },
}

/** The reports a send causes on the other side, in their time. */
export function sendReceipts(instance: Instance, key: MessageKey, { receipts }: Behaviour): void {
  if (isGroup(key.remoteJid) || receipts === 'none') return
  const { timers, settings } = instance.world
  const report = (status: string) => instance.whenOnline(() => reportStatus(instance, key, status))
  if (receipts === 'before_answer') {
    report('DELIVERY_ACK')
    report('READ')
    return
  }
  timers.after(settings.ack_delay_ms, () => report(receipts === 'error' ? 'ERROR' : 'DELIVERY_ACK'))
  if (receipts === 'read') timers.after(settings.ack_delay_ms * 2, () => report('READ'))
}

export function answerEcho(instance: Instance, jid: string, content: Content): void {
  const kind = content.type.replace(/Message(V3)?$/, '')
  const text = `Echo: ${content.type === 'conversation' ? content.text : kind}`
  const { timers, settings } = instance.world
  timers.after(settings.ack_delay_ms * 3, () => receive(instance, { chat: jid, text, push_name: 'Echo' }))
}

/** An incoming message. Answers its key id, even when the instance will never hear of it. */
export function receive(instance: Instance, written: Written): string {
  const key = incomingKey(instance, written)
  const pushName = written.push_name ?? 'Ana'
  instance.whenOnline(() => {
    if (instance.deaf || instance.troubles.zombie) return
    if (written.group && instance.row.settings.groupsIgnore) return
    instance.world.database.saveContact(instance.id, withoutLid(key.participantAlt ?? key.remoteJid), pushName)
    forward(instance, key, pushName, 'DELIVERY_ACK', written)
  })
  return key.id
}

/** A message typed on the phone itself. */
export function typed(instance: Instance, written: Written): string {
  const remoteJid = jidOf(written.group ?? written.chat)
  const id = written.key_id ?? newPhoneKeyId()
  const key: MessageKey = { remoteJid, fromMe: true, id, participant: '', addressingMode: 'pn' }
  instance.whenOnline(() => {
    if (instance.deaf || instance.troubles.zombie) return
    forward(instance, key, instance.row.profileName ?? '', 'SERVER_ACK', written)
  })
  return id
}

/** The other side edits a message of its own. */
export function editIncoming(instance: Instance, keyId: string, text: string): boolean {
  const row = instance.world.database.messages.byKey(instance.id, keyId)
  if (!row) return false
  const { remoteJid, fromMe, id } = row.key
  void instance.emit('messages.edited', {
    key: { remoteJid, fromMe, id },
    type: 'MESSAGE_EDIT',
    editedMessage: { conversation: text },
    timestampMs: String(Date.now()),
  })
  instance.world.database.saveMessage({ ...row, message: { conversation: text } })
  return true
}

/** A message is deleted for everyone by a phone: Evolution tells it twice. */
export function revoke(instance: Instance, keyId: string): boolean {
  const row = instance.world.database.messages.byKey(instance.id, keyId)
  if (!row) return false
  const { remoteJid, fromMe, id } = row.key
  void instance.emit('messages.edited', { key: { remoteJid, fromMe, id }, type: 'REVOKE' })
  void instance.emit('messages.delete', row.key)
  return true
}

function incomingKey(instance: Instance, written: Written): MessageKey {
  const jid = jidOf(written.chat)
  const hidden = written.lid ?? (isLid(jid) || instance.world.directory.behaviourOf(jid).lid)
  const phone = isLid(jid) ? phoneJidOf(jid) : jid
  const lid = isLid(jid) ? jid : lidOf(jid)
  const id = written.key_id ?? newPhoneKeyId()
  if (written.group) {
    const from = { participant: lid, participantAlt: phone, addressingMode: 'lid' as const }
    return { remoteJid: jidOf(written.group), fromMe: false, id, ...from }
  }
  const [remoteJid, remoteJidAlt] = hidden ? [lid, phone] : [phone, lid]
  return { remoteJid, remoteJidAlt, fromMe: false, id, participant: '', addressingMode: hidden ? 'lid' : 'pn' }
}

function forward(instance: Instance, key: MessageKey, pushName: string, status: string, written: Written): void {
  const content = contentOf(instance, written)
  const contextInfo = contextOf(instance, written, content)
  const message: Message = {
    key,
    pushName,
    status,
    message: content.message,
    ...(contextInfo !== undefined && { contextInfo }),
    messageType: content.type,
    messageTimestamp: nowSeconds(),
    instanceId: instance.id,
    source: 'unknown',
  }
  store(instance, message)
  const inline = content.media && instance.row.webhook?.webhookBase64
  const posted = inline ? { ...content.message, base64: content.media?.bytes.toString('base64') } : content.message
  void instance.emit('messages.upsert', { ...message, message: posted })
}

function contentOf(instance: Instance, { text = '', media, message }: Written): Content {
  if (message) return { type: Object.keys(message)[0] ?? 'unknown', message, text: '', contextual: false }
  if (!media) return { type: 'conversation', message: { conversation: text }, text, contextual: false }
  const bytes = Buffer.from(media.base64, 'base64')
  const described = { ...DESCRIBED[media.type], mimetype: media.mimetype, caption: media.caption }
  const named = media.file_name ? { fileName: media.file_name, title: media.file_name } : {}
  const content = file(`${media.type}Message`, bytes, { ...described, ...named, ...pictureSize(bytes) }, '')
  // no bytes: media that WhatsApp's host no longer has
  if (content.media && bytes.length > 0) instance.world.database.saveMedia(content.media.path, bytes)
  return content
}

function contextOf(instance: Instance, written: Written, content: Content): Json | null | undefined {
  const quoted = written.quoted_key_id && instance.world.database.messages.byKey(instance.id, written.quoted_key_id)
  if (quoted) {
    const participant = quoted.key.fromMe
      ? instance.wuid
      : `${digitsOf(withoutLid(quoted.key.remoteJid))}@s.whatsapp.net`
    const quote = { stanzaId: quoted.key.id, participant, quotedMessage: quoted.message }
    return { mentionedJid: [], groupMentions: [], ...quote }
  }
  // as seen: nothing for some kinds, null for the others
  return ['conversation', 'documentMessage', 'reactionMessage'].includes(content.type) ? undefined : null
}
