import type { Json, MessageRow } from '../store/records.js'
import { badRequest, boomConnectionClosed, databaseText, Failure, failure, thrown } from './failure.js'
import { long, newKeyId, nowSeconds } from './ids.js'
import type { Instance } from './instance.js'
import { isGroup, isLid, jidOf, withoutLid } from './jid.js'
import { extensionOf } from './media.js'
import { noteStatus } from './message.js'

const PAGE_SIZE = 50

/** `offset` is the size of a page and `page` counts from 1, whatever their names say. */
export function findMessages(instance: Instance, { where, page = 1, offset = PAGE_SIZE }: Json): Json {
  if (typeof page !== 'number' || typeof offset !== 'number') {
    throw thrown(databaseText('Argument `take`: Invalid value provided. Expected Int, provided String.'))
  }
  const { messages } = instance.world.database
  const found = messages.find(instance.id, where ?? {})
  const records = found.slice((page - 1) * offset, page * offset).map((row) => ({
    ...row,
    MessageUpdate: messages.statusesOf(row.id).map(({ status }) => ({ status })),
  }))
  return {
    messages: { total: found.length, pages: Math.ceil(found.length / offset), currentPage: page, records },
  }
}

export function findStatuses(instance: Instance, { where, page = 1, offset = PAGE_SIZE }: Json): unknown[] {
  const found = instance.world.database.messages.findStatuses(instance.id, (where ?? {}) as Json)
  return found.slice((Number(page) - 1) * Number(offset), Number(page) * Number(offset))
}

/** Groups first, then the rest. */
export async function whatsappNumbers(instance: Instance, { numbers }: Json): Promise<unknown[]> {
  const { connection, world } = instance
  if (!Array.isArray(numbers) || !connection.started) throw new Failure(400, {})
  if (!connection.online) throw boomConnectionClosed()
  if (instance.troubles.send === 'number_check_times_out') {
    await world.timers.sleep(world.settings.query_timeout_ms)
    throw new Failure(400, {})
  }
  const asked = (numbers as string[]).map((number) => ({ number, jid: withoutLid(jidOf(number)) }))
  const groups = asked.filter(({ jid }) => isGroup(jid))
  const people = asked.filter(({ jid }) => !isGroup(jid))
  return [
    ...groups.map(({ number, jid }) => {
      const name = world.directory.groupName(jid)
      return { jid, exists: name !== undefined, number, name }
    }),
    ...people.map(({ number, jid }) => {
      const name = world.database.contactName(instance.id, jid)
      return { jid, exists: world.directory.behaviourOf(jid).on_whatsapp, number, name }
    }),
  ]
}

/** The bytes of a message's media, by its id or with the whole message given back. */
export async function mediaOf(instance: Instance, body: Json): Promise<Json> {
  const given = body.message as Json | undefined
  if (!given) throw badRequest("TypeError: Cannot read properties of undefined (reading 'key')")
  if (!given.key) throw badRequest("TypeError: Cannot read properties of undefined (reading 'ephemeralMessage')")
  const id = String((given.key as Json).id)
  const message =
    (given.message as Json | undefined) ?? instance.world.database.messages.byKey(instance.id, id)?.message
  if (!message) throw badRequest('Message not found')
  const mediaType = Object.keys(message).find((type) => (message[type] as Json).directPath !== undefined)
  if (!mediaType) throw badRequest('The message is not of the media type')
  const content = message[mediaType] as Json
  const bytes = instance.world.database.mediaAt(String(content.directPath))
  if (!bytes) {
    await instance.world.timers.sleep(instance.world.settings.media_retry_ms)
    throw badRequest(`Error: Failed to fetch stream from ${String(content.url)}`)
  }
  const { caption, height, width, mimetype } = content
  return {
    mediaType,
    fileName: content.fileName ?? `${id}.${extensionOf(String(mimetype))}`,
    caption,
    size: { fileLength: long(bytes.length, true), height, width },
    mimetype,
    base64: bytes.toString('base64'),
    buffer: null,
  }
}

/** Keys with a privacy id are dropped, and still answered with success. */
export function markAsRead(instance: Instance, { readMessages }: Json): Json {
  if (!instance.connection.online) throw failure(500, ['Read messages fail', 'Error: Connection Closed'])
  for (const { id, remoteJid } of readMessages as { id: string; remoteJid: string }[]) {
    if (!isLid(remoteJid)) instance.world.reads.push({ instance: instance.name, id, remoteJid })
  }
  return { message: 'Read messages', read: 'success' }
}

export async function showPresence(instance: Instance, { presence, delay }: Json): Promise<Json> {
  if (!instance.connection.online) throw badRequest('Error: Connection Closed')
  await instance.world.timers.sleep(delay as number)
  return { presence }
}

export function updateMessage(instance: Instance, { number, text, key }: Json): Json {
  const row = oldMessage(instance, key as Json | undefined)
  if (row?.messageType !== 'conversation') throw badRequest('Message not compatible')
  if (withoutLid(row.key.remoteJid) !== withoutLid(jidOf(String(number)))) throw badRequest('RemoteJid does not match')
  if (typeof text !== 'string') throw thrown("Cannot read properties of undefined (reading 'match')")
  if (!instance.connection.online) throw thrown('Connection Closed')
  if (!row.key.fromMe) throw badRequest('You cannot edit others messages')

  const timestampMs = Date.now()
  const editedMessage = { extendedTextMessage: { text } }
  instance.world.database.saveMessage({ ...row, message: { conversation: text }, messageTimestamp: nowSeconds() })
  noteStatus(instance, row.key.id, 'EDITED')
  void instance.emit('send.message.update', { key, editedMessage, timestampMs, type: 14 })
  return protocolMessage(row.key.remoteJid, {
    key,
    type: 'MESSAGE_EDIT',
    editedMessage,
    timestampMs: String(timestampMs),
  })
}

/** A message Evolution does not know is revoked all the same. */
export function deleteForEveryone(instance: Instance, { id, fromMe, remoteJid }: Json): Json {
  if (!instance.connection.online) {
    throw failure(500, ['Error while deleting message for everyone', 'Error: Connection Closed'])
  }
  const row = oldMessage(instance, { id })
  if (row) {
    void instance.emit('messages.delete', { ...row, contextInfo: undefined, status: 'DELETED', participant: null })
    instance.world.database.deleteMessage(row.id)
  }
  return protocolMessage(String(remoteJid), { key: { remoteJid, fromMe, id }, type: 'REVOKE' })
}

function oldMessage(instance: Instance, key: Json | undefined): MessageRow | undefined {
  return instance.world.database.messages.byKey(instance.id, String(key?.['id']))
}

/** 64-bit times are texts here, unlike everywhere else. */
function protocolMessage(remoteJid: string, protocol: Json): Json {
  return {
    key: { remoteJid, fromMe: true, id: newKeyId() },
    message: { protocolMessage: protocol },
    messageTimestamp: String(nowSeconds()),
    status: 'PENDING',
  }
}
