import { z } from 'zod'
import type { Envelope } from '../services/drafting.js'
import type { Body } from '../services/message-content.js'
import type { MediaSource } from '../services/media.js'
import { Flag, Moment } from './fields.js'
import { numeric, parseField, withoutNulls } from './parse.js'

/** WhatsApp's own limit for a text. */
const MAX_TEXT = 65_536

/** Multipart and urlencoded bodies know only text. */
const fromText = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess((value) => (typeof value === 'string' ? parseList(value) : value), schema)

const Whole = (min: number, max = Infinity) => numeric(z.number().int().min(min).max(max))
const Number = z.union([z.string().trim().min(1).max(100), z.number()], {
  error: ({ input }) => (input === undefined ? 'is missing' : 'must be a phone number, like 628123456789'),
})
const Text = z
  .string()
  .max(MAX_TEXT, 'may have 65,536 characters at most')
  .refine((text) => text.trim() !== '', 'must not be empty')
const Url = z.string().trim().max(2048).optional()
const Base64 = z.string().min(1).optional()

const Sender = { token: z.string().min(1).max(200).optional(), from: z.literal('auto').optional() }

const envelope = {
  number: Number,
  ttl_seconds: Whole(10, 604_800).optional(),
  on_ambiguous: z.enum(['keep', 'retry'], 'must be keep or retry').optional(),
  send_at: Moment.optional(),
  quoted_message_id: Whole(1).optional(),
  mentions: fromText(z.array(Number).max(1_000)).optional(),
  mention_all: Flag.optional(),
}

const contact = z.object({
  full_name: z.string().trim().min(1).max(200),
  phone_number: Number,
  organization: z.string().max(200).optional(),
  email: z.string().max(254).optional(),
  url: z.string().max(2048).optional(),
})

/** What each kind of message says, beside its envelope. */
const kinds = {
  text: { text: Text, link_preview: Flag.optional() },
  media: {
    mediaUrl: Url,
    base64: Base64,
    mediaType: z.enum(['image', 'video', 'audio', 'document'], 'must be image, video, audio or document'),
    caption: z.string().max(4_096).optional(),
    fileName: z.string().max(255).optional(),
    voice: Flag.optional(),
  },
  sticker: { mediaUrl: Url, base64: Base64 },
  location: {
    latitude: numeric(z.number().min(-90).max(90)),
    longitude: numeric(z.number().min(-180).max(180)),
    name: z.string().trim().min(1).max(200),
    address: z.string().trim().min(1).max(500).optional(),
  },
  contact: { contacts: fromText(z.array(contact).min(1).max(50)) },
  poll: {
    name: z.string().trim().min(1).max(255),
    values: fromText(
      z
        .array(z.string().trim().min(1).max(100))
        .min(2)
        .max(10)
        .refine((values) => new Set(values).size === values.length, 'must be different from each other'),
    ),
    selectable_count: Whole(0, 10).default(1),
  },
}

export type Kind = keyof typeof kinds

const schemas = Object.fromEntries(
  Object.entries(kinds).map(([kind, fields]) => [kind, withoutNulls(z.object({ ...Sender, ...envelope, ...fields }))]),
) as unknown as Record<Kind, z.ZodType>

export const sendSchema = (kind: Kind) => schemas[kind]

type Parsed = Record<string, unknown>

/** Splits what was parsed into who sends, how, and what. */
export function requestOf(kind: Kind, parsed: Parsed, upload?: MediaSource['upload']) {
  const { token, from } = parsed as { token?: string; from?: 'auto' }
  return { token, from, ...itemOf(kind, parsed, upload) }
}

function itemOf(kind: Kind, parsed: Parsed, upload?: MediaSource['upload']): Envelope & { body: Body } {
  const { number, ttl_seconds, on_ambiguous, send_at, ...rest } = parsed as unknown as Envelope
  const { quoted_message_id, mentions, mention_all } = rest
  const body = bodyOf(kind, parsed, upload)
  return { number, ttl_seconds, on_ambiguous, send_at, quoted_message_id, mentions, mention_all, body }
}

/** The kinds that are a file. */
const files = new Set<Kind>(['media', 'sticker'])

function bodyOf(kind: Kind, parsed: Parsed, upload?: MediaSource['upload']): Body {
  if (!files.has(kind)) return { ...pick(parsed, Object.keys(kinds[kind])), type: kind } as Body
  const { mediaUrl, base64, mediaType, fileName, caption, voice } = parsed
  const media = { url: mediaUrl, base64, upload }
  if (kind === 'sticker') return { type: kind, media } as Body
  return { caption, voice, type: mediaType, media, file_name: fileName } as Body
}

function pick(parsed: Parsed, names: string[]): Parsed {
  const picked: Parsed = {}
  for (const name of names) picked[name] = parsed[name]
  return picked
}

/** All of a bulk go from one number; another one in a message would be passed over in silence. */
const notHere = z.undefined('belongs beside messages, not inside one: a bulk sends from one phone number').optional()
const item = (kind: Kind) => withoutNulls(z.object({ token: notHere, from: notHere, ...envelope, ...kinds[kind] }))

export const BulkBody = z.object({
  ...Sender,
  messages: z
    .array(z.unknown(), 'must be a list of messages')
    .min(1, 'must hold a message at least')
    .max(1_000, 'may hold 1,000 messages at most'),
})

const FILES = ['image', 'video', 'audio', 'document'] as const
const TYPES = ['text', ...FILES, 'sticker', 'location', 'contact', 'poll'] as const
const ItemType = z.object({ type: z.enum(TYPES, `must be one of ${TYPES.join(', ')}`).default('text') })
const isFile = (type: (typeof TYPES)[number]) => FILES.some((file) => file === type)

/** One item of a bulk, by its `type`; throws what zod says of it. */
export function parseItem(given: unknown): Envelope & { body: Body } {
  const { type } = ItemType.parse(given)
  const kind = isFile(type) ? 'media' : (type as Kind)
  return itemOf(kind, item(kind).parse({ ...(given as object), mediaType: type }))
}

/** A list as JSON, or as text with commas. */
function parseList(text: string): unknown {
  const value = parseField(text)
  return typeof value === 'object' ? value : text.split(',').map((part) => part.trim()) // a lone number is a list too
}
