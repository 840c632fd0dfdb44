/** The rows of Evolution's database, in its own spelling. */

export type Json = Record<string, unknown>

export interface WebhookRow {
  id: string
  url: string
  headers: Record<string, string> | null
  enabled: boolean
  events: string[]
  webhookByEvents: boolean
  webhookBase64: boolean
  createdAt: string
  updatedAt: string
  instanceId: string
}

export interface InstanceSettings {
  rejectCall: boolean
  msgCall: string
  groupsIgnore: boolean
  alwaysOnline: boolean
  readMessages: boolean
  readStatus: boolean
  syncFullHistory: boolean
  wavoipToken: string
}

export interface InstanceRow {
  id: string
  name: string
  /** What the database says; it lags behind the socket. */
  connectionStatus: 'open' | 'close' | 'connecting'
  ownerJid: string | null
  profileName: string | null
  profilePicUrl: string | null
  number: string | null
  token: string
  clientName: string
  disconnectionReasonCode: number | null
  disconnectionObject: string | null
  disconnectionAt: string | null
  createdAt: string
  updatedAt: string
  settingId: string
  settings: InstanceSettings
  webhook: WebhookRow | null
  /** There is a WhatsApp session: the instance logs in without a QR code. */
  paired: boolean
}

export interface MessageKey {
  id: string
  remoteJid: string
  fromMe: boolean
  remoteJidAlt?: string
  participant?: string
  participantAlt?: string
  addressingMode?: 'pn' | 'lid'
}

export interface MessageRow {
  id: string
  key: MessageKey
  pushName: string
  messageType: string
  message: Json
  messageTimestamp: number
  instanceId: string
  source: string
  contextInfo: Json | null
}

export interface StatusRow {
  id: string
  keyId: string
  remoteJid: string
  fromMe: boolean
  participant: string | null
  pollUpdates: null
  status: string
  messageId: string
  instanceId: string
}

/** One message that really reached WhatsApp, whatever the caller was told. */
export interface SentMessage {
  at: string
  server: string
  instance: string
  /** Digits of the phone number, or the whole JID of a group. */
  recipient: string
  jid: string
  key_id: string
  type: string
  /** The text, or what stands in for it: caption, file name, place, question, emoji. */
  text: string
  media_sha256: string | null
  /** Set when WhatsApp received a stanza nobody can read. */
  unreadable?: true
}

/** Everything that is ever written to the journal. */
export type Entry =
  | { t: 'instance'; row: InstanceRow }
  | { t: 'instance_deleted'; id: string }
  | { t: 'message'; row: MessageRow }
  | { t: 'message_deleted'; id: string }
  | { t: 'status'; row: StatusRow }
  | { t: 'media'; path: string; base64: string }
  | { t: 'contact'; instance_id: string; jid: string; name: string }
  | { t: 'sent'; sent: SentMessage }
