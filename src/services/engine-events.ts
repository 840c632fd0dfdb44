import type { MessageStatus } from '../db/messages.js'
import { contentOf, whole } from './engine-content.js'
import { fingerprintOf } from './fingerprint.js'

/** What one webhook of the engine means to us. */
export type Fact =
  | { kind: 'message'; message: EngineMessage }
  | { kind: 'receipt'; whatsapp_id: string; status: 'sent' | 'delivered' | 'read' | 'failed' }
  | { kind: 'sending'; whatsapp_id: string; recipient: string; fingerprint: Buffer; sent_at: Date }
  | { kind: 'edited'; whatsapp_id: string; chat: string; text: string | null }
  | { kind: 'deleted'; whatsapp_id: string; chat: string }
  | { kind: 'state'; state: 'open' | 'connecting' | 'closed'; reason: number | null; phone_number: string | null }
  | { kind: 'qr'; image: string; pairing_code: string | null }
  | { kind: 'qr_limit' }
  | { kind: 'ignored' }

export interface EngineMessage {
  whatsapp_id: string
  from_me: boolean
  /** Digits when WhatsApp tells the phone number, else the lid; a group's address in groups. */
  chat: string
  /** Of who wrote it, in a group too. */
  lid: string | null
  /** Who wrote it in a group … */
  participant: string | null
  /** … and how WhatsApp itself names them there. */
  participant_jid: string | null
  sender_name: string | null
  type: string
  content: Record<string, unknown>
  status: MessageStatus
  sent_at: Date
}

type Json = Record<string, unknown>

const DAY_MS = 86_400_000

/** What the engine also sends where somebody has asked it to, and is of no use here. */
const UNUSED = new Set(
  `application.startup messages.set send.message.update contacts.set contacts.upsert contacts.update presence.update
   chats.set chats.upsert chats.update chats.delete groups.upsert groups.update group.update group.participants.update
   labels.edit labels.association call typebot.start typebot.change.status remove.instance logout.instance
   instance.create instance.delete`.split(/\s+/),
)

/** Translates the engine's `{ event, data }`. Throws only for what cannot be understood. */
export function translate(event: string, data: unknown): Fact {
  const name = event.toLowerCase().replaceAll(/[_-]/g, '.')
  switch (name) {
    case 'messages.upsert':
      return message(object(data))
    case 'send.message':
      return sending(object(data))
    case 'messages.update':
      return receipt(object(data))
    case 'messages.edited':
      return edited(object(data))
    case 'messages.delete':
      return deleted(object(data))
    case 'connection.update':
      return connection(object(data))
    case 'status.instance':
      return status(object(data))
    case 'qrcode.updated':
      return qr(object(data))
    default:
      if (UNUSED.has(name)) return { kind: 'ignored' }
      throw new Error(`the event "${name}" is not known`)
  }
}

function message(data: Json): Fact {
  const key = object(data.key)
  const id = text(key.id)
  const jid = text(key.remoteJid)
  if (!id || !jid) throw new Error('messages.upsert without key.id or key.remoteJid')
  if (isForAll(jid)) return { kind: 'ignored' }
  const edit = encryptedEdit(data.message)
  if (edit) return { kind: 'edited', whatsapp_id: edit, chat: addressesOf(key, jid).chat, text: null }
  const from_me = key.fromMe === true
  return {
    kind: 'message',
    message: {
      whatsapp_id: id,
      from_me,
      ...addressesOf(key, jid),
      ...authorOf(key),
      sender_name: from_me ? null : text(data.pushName),
      ...contentOf(text(data.messageType) ?? '', object(data.message), data.contextInfo),
      status: from_me ? 'sent' : 'received',
      sent_at: momentOf(data.messageTimestamp),
    },
  }
}

/** WhatsApp sends edits encrypted nowadays, and Evolution 2.3.7 does not read them: which message it was is all it tells. */
function encryptedEdit(message: unknown): string | null {
  const { secretEncryptedMessage } = object(message)
  if (secretEncryptedMessage === undefined) return null
  const { secretEncType, targetMessageKey } = object(secretEncryptedMessage)
  const isEdit = secretEncType === 2 || secretEncType === 'MESSAGE_EDIT'
  return isEdit ? text(object(targetMessageKey).id) : null
}

/** A send through the API: how one is found again whose answer was lost. */
function sending(data: Json): Fact {
  const key = object(data.key)
  const whatsapp_id = text(key.id)
  const jid = text(key.remoteJid)
  if (!whatsapp_id || !jid) return { kind: 'ignored' }
  const { type, content } = contentOf(text(data.messageType) ?? '', object(data.message), undefined)
  const { chat: recipient } = addressesOf(key, jid)
  return {
    kind: 'sending',
    whatsapp_id,
    recipient,
    fingerprint: fingerprintOf(type, content),
    sent_at: momentOf(data.messageTimestamp),
  }
}

/** Seconds since 1970, in whichever form the engine gives them; now when they make no sense. */
export function momentOf(seconds: unknown): Date {
  const moment = new Date((whole(seconds) ?? 0) * 1000)
  return moment.getTime() > 0 && moment.getTime() < Date.now() + DAY_MS ? moment : new Date()
}

/** Stories and channels: nobody's chat. */
const isForAll = (jid: string) => jid.endsWith('@broadcast') || jid.endsWith('@newsletter')

/** The engine gives one address and, when it knows it, the other: which is the lid differs from chat to chat. */
export function addressesOf(key: { remoteJidAlt?: unknown }, jid: string): { chat: string; lid: string | null } {
  const both = [jid, text(key.remoteJidAlt) ?? '']
  const lid = both.find((one) => one.endsWith('@lid'))
  const chat = both.find((one) => one.endsWith('@s.whatsapp.net')) ?? jid
  return { chat: address(chat), lid: lid ? address(lid) : null }
}

/** Who wrote in a group: as with chats, one address and perhaps the other. */
function authorOf(key: Json) {
  const jid = text(key.participant)
  const alt = text(key.participantAlt)
  if (!jid) return { participant: alt && address(alt), participant_jid: null }
  const { chat: participant, lid } = addressesOf({ remoteJidAlt: alt }, jid)
  return { participant, participant_jid: jid, ...(lid ? { lid } : {}) }
}

/** `628…@s.whatsapp.net` becomes `628…`; groups and lids stay as they are, without a device suffix. */
export function address(jid: string): string {
  const [user = '', server = ''] = jid.split('@')
  const bare = user.split(':')[0]!
  return server === 's.whatsapp.net' || server === 'c.us' ? bare : `${bare}@${server}`
}

const RECEIPTS: Record<string, 'sent' | 'delivered' | 'read' | 'failed'> = {
  SERVER_ACK: 'sent',
  DELIVERY_ACK: 'delivered',
  READ: 'read',
  PLAYED: 'read',
  ERROR: 'failed',
}

/** What the engine's word for the state of a message means; undefined when it is none of a receipt. */
export const receiptOf = (word: unknown) =>
  typeof word === 'string' && Object.hasOwn(RECEIPTS, word) ? RECEIPTS[word] : undefined

function receipt(data: Json): Fact {
  const whatsapp_id = text(data.keyId)
  const status = receiptOf(data.status)
  return whatsapp_id && status && data.fromMe !== false ? { kind: 'receipt', whatsapp_id, status } : { kind: 'ignored' }
}

function edited(data: Json): Fact {
  // Whatever else WhatsApp's clients tell each other comes here too: keys they share, history, timers of chats.
  if (data.type !== undefined && data.type !== 'MESSAGE_EDIT' && data.type !== 14 && data.type !== 'REVOKE')
    return { kind: 'ignored' }
  const key = object(data.key)
  const whatsapp_id = text(key.id)
  const jid = text(key.remoteJid)
  // A deletion for everyone comes twice, as a REVOKE here and as messages.delete: the latter is the one we keep.
  if (!whatsapp_id || !jid || isForAll(jid) || data.type === 'REVOKE') return { kind: 'ignored' }
  const { content } = contentOf('', object(data.editedMessage), undefined)
  const words = text(content.text) ?? text(content.caption)
  return { kind: 'edited', whatsapp_id, chat: addressesOf(key, jid).chat, text: words }
}

function deleted(data: Json): Fact {
  const key = data.key === undefined ? data : object(data.key)
  const whatsapp_id = text(key.id)
  const jid = text(key.remoteJid)
  if (!whatsapp_id || !jid || isForAll(jid)) return { kind: 'ignored' }
  return { kind: 'deleted', whatsapp_id, chat: addressesOf(key, jid).chat }
}

function connection(data: Json): Fact {
  const reason = typeof data.statusReason === 'number' ? data.statusReason : null
  const wuid = text(data.wuid)
  const phone_number = wuid ? address(wuid) : null
  switch (data.state) {
    case 'open':
      return { kind: 'state', state: 'open', reason, phone_number }
    case 'connecting':
      return { kind: 'state', state: 'connecting', reason, phone_number: null }
    case 'close':
      return { kind: 'state', state: 'closed', reason, phone_number: null }
    case 'refused':
      return { kind: 'qr_limit' }
    default:
      return { kind: 'ignored' }
  }
}

function status(data: Json): Fact {
  if (data.status !== 'closed') return { kind: 'ignored' }
  const reason = Number(data.disconnectionReasonCode)
  return { kind: 'state', state: 'closed', reason: Number.isFinite(reason) ? reason : null, phone_number: null }
}

function qr(data: Json): Fact {
  if (data.qrcode === undefined) return { kind: 'qr_limit' }
  const { base64, pairingCode } = object(data.qrcode)
  if (typeof base64 !== 'string' || base64 === '') return { kind: 'ignored' }
  return { kind: 'qr', image: base64, pairing_code: text(pairingCode) }
}

function object(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new Error('an object was expected')
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
