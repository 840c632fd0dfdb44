import type { Json, MessageKey, MessageRow } from '../store/records.js'
import type { Instance } from './instance.js'
import { long, newRowId, nowSeconds } from './ids.js'

/** The rest of the answer of a send, of `send.message` and of `messages.upsert`. */
export type Message = Omit<MessageRow, 'id' | 'contextInfo'> & { status: string; contextInfo?: Json | null }

/** What Baileys puts beside every message of a chat of two. */
export const usualContext = (): Json => ({
  mentionedJid: [],
  groupMentions: [],
  ephemeralSettingTimestamp: long(nowSeconds() - 2 * 86_400),
  disappearingMode: { initiator: 0 },
})

/** The database keeps binary members as base64, while answers and webhooks carry index maps. */
export function storable(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (Array.isArray(value)) return value.map(storable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, storable(member)]))
}

export function store(instance: Instance, message: Message): MessageRow {
  const row: MessageRow = {
    id: newRowId(),
    key: message.key,
    pushName: message.pushName,
    messageType: message.messageType,
    message: storable(message.message) as Json,
    messageTimestamp: message.messageTimestamp,
    instanceId: message.instanceId,
    source: message.source,
    contextInfo: message.contextInfo ? (storable(message.contextInfo) as Json) : null,
  }
  instance.world.database.saveMessage(row)
  return row
}

/** Reports a state of a message; lost, as in Evolution, when the message is not (or no longer) in the database. */
export function reportStatus(instance: Instance, key: Pick<MessageKey, 'id'>, status: string): boolean {
  const row = noteStatus(instance, key.id, status)
  if (!row) return false
  const { remoteJid, fromMe, id } = row.key
  void instance.emit('messages.update', {
    keyId: id,
    remoteJid,
    fromMe,
    status,
    instanceId: instance.id,
    messageId: row.id,
  })
  return true
}

/** Adds to the history of a message without telling anybody. */
export function noteStatus(instance: Instance, keyId: string, status: string): MessageRow | undefined {
  const { database } = instance.world
  const row = database.messages.byKey(instance.id, keyId)
  if (!row) return undefined
  database.saveStatus({
    id: newRowId(),
    keyId,
    remoteJid: row.key.remoteJid,
    fromMe: row.key.fromMe,
    participant: null,
    pollUpdates: null,
    status,
    messageId: row.id,
    instanceId: instance.id,
  })
  return row
}
