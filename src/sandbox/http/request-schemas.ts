import { SUBSCRIBABLE_EVENTS } from '../engine/event-names.js'
import type { Schema } from './json-schema.js'

const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
const number: Schema = { type: 'string', description: 'Invalid format' }

const key = (...required: string[]): Schema => ({
  type: 'object',
  properties: { id: text, remoteJid: text, fromMe: flag },
  required,
})

/** What every send may carry. */
const options: Record<string, Schema> = {
  delay: { type: 'integer', description: 'Enter a value in milliseconds' },
  quoted: { type: 'object', properties: { key: key('id') } },
  linkPreview: flag,
  mentionsEveryOne: flag,
  mentioned: {
    type: 'array',
    items: { type: 'string', pattern: '^\\d+', description: '"mentioned" must be an array of numeric strings' },
  },
}

const sendSchema = (properties: Record<string, Schema>, ...required: string[]): Schema => ({
  type: 'object',
  properties: { number, ...properties, ...options },
  required: ['number', ...required],
})

const SETTING_FLAGS = ['rejectCall', 'groupsIgnore', 'alwaysOnline', 'readMessages', 'readStatus', 'syncFullHistory']
const flags = Object.fromEntries(SETTING_FLAGS.map((name) => [name, flag]))

export const anything: Schema = {}

export const createInstance: Schema = {
  type: 'object',
  properties: {
    instanceName: text,
    qrcode: flag,
    number: { type: 'string', pattern: '^\\d+[\\.@\\w-]+' },
    token: text,
    integration: text,
    webhook: { type: 'object', properties: { url: text, byEvents: flag, base64: flag, events: { type: 'array' } } },
    ...flags,
  },
}

export const setWebhook: Schema = {
  type: 'object',
  properties: {
    webhook: {
      type: 'object',
      properties: {
        enabled: flag,
        url: text,
        headers: { type: 'object' },
        byEvents: flag,
        base64: flag,
        events: { type: 'array', items: { type: 'string', enum: SUBSCRIBABLE_EVENTS } },
      },
      required: ['enabled', 'url'],
    },
  },
  required: ['webhook'],
}

export const setSettings: Schema = {
  type: 'object',
  properties: { ...flags, msgCall: text, wavoipToken: text },
  required: SETTING_FLAGS,
}

export const sendText = sendSchema({ text }, 'text')
export const sendMedia = sendSchema(
  {
    mediatype: { type: 'string', enum: ['image', 'document', 'video', 'audio'] },
    mimetype: text,
    media: text,
    fileName: text,
    caption: text,
  },
  'mediatype',
)
export const sendVoice = sendSchema({ audio: text })
export const sendSticker = sendSchema({ sticker: text })
export const sendRoundVideo = sendSchema({ video: text })
export const sendLocation = sendSchema(
  { latitude: { type: 'number' }, longitude: { type: 'number' }, name: text, address: text },
  'latitude',
  'longitude',
  'name',
  'address',
)
export const sendContact = sendSchema(
  {
    contact: {
      type: 'array',
      items: {
        type: 'object',
        properties: { fullName: text, wuid: text, phoneNumber: text, organization: text, email: text, url: text },
        required: ['fullName', 'phoneNumber'],
      },
      minItems: 1,
    },
  },
  'contact',
)
export const sendPoll = sendSchema(
  {
    name: text,
    selectableCount: { type: 'integer', minimum: 0, maximum: 10 },
    values: { type: 'array', minItems: 2, uniqueItems: true, items: text },
  },
  'name',
  'selectableCount',
  'values',
)
export const sendReaction: Schema = {
  type: 'object',
  properties: { key: key('id', 'remoteJid', 'fromMe'), reaction: text },
  required: ['key', 'reaction'],
}

export const whatsappNumbers: Schema = {
  type: 'object',
  properties: { numbers: { type: 'array', minItems: 1, items: text } },
}
export const markMessageAsRead: Schema = {
  type: 'object',
  properties: { readMessages: { type: 'array', minItems: 1, items: key('id', 'fromMe', 'remoteJid') } },
  required: ['readMessages'],
}
export const sendPresence: Schema = {
  type: 'object',
  properties: {
    number: text,
    presence: { type: 'string', enum: ['unavailable', 'available', 'composing', 'recording', 'paused'] },
    delay: { type: 'integer' },
  },
  required: ['number', 'presence', 'delay'],
}
export const deleteMessage: Schema = {
  type: 'object',
  properties: { id: text, fromMe: flag, remoteJid: text, participant: text },
  required: ['id', 'fromMe', 'remoteJid'],
}
