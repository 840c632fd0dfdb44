import { invalidRequest } from '../errors.js'
import type { Files, MediaSource } from './media.js'
import type { MediaType } from './media-types.js'
import { parseRecipient } from './recipients.js'

/** What a message says, as the caller gave it. */
export type Body =
  | { type: 'text'; text: string; link_preview?: boolean }
  | { type: MediaType; media: MediaSource; caption?: string; file_name?: string; voice?: boolean }
  | { type: 'sticker'; media: MediaSource }
  | { type: 'location'; latitude: number; longitude: number; name: string; address?: string }
  | { type: 'contact'; contacts: ContactCard[] }
  | { type: 'poll'; name: string; values: string[]; selectable_count: number }
  | { type: 'reaction'; reaction: string; whatsapp_id: string; from_me: boolean; participant?: string }

export interface ContactCard {
  full_name: string
  phone_number: string | number
  organization?: string
  email?: string
  url?: string
}

/** What is stored and sent of it. */
export interface Prepared {
  type: string
  content: Record<string, unknown>
  bytes?: Buffer
}

/** Checks what can be checked and gets the bytes, before anything is spent. */
export async function prepare(body: Body, media: Files, defaultCountry: string): Promise<Prepared> {
  switch (body.type) {
    case 'text': {
      const { type, ...content } = body
      return { type, content: defined(content) }
    }
    case 'sticker': {
      const { bytes, mime_type } = await media.obtain(body.media, 'image')
      return { type: 'sticker', content: { mime_type, size: bytes.length }, bytes }
    }
    case 'location': {
      const { type, address, ...place } = body
      // The engine insists on an address.
      return { type, content: { ...place, address: address ?? `${body.latitude}, ${body.longitude}` } }
    }
    case 'contact':
      return { type: 'contact', content: { contacts: body.contacts.map((card) => cardOf(card, defaultCountry)) } }
    case 'poll':
      if (body.selectable_count > body.values.length)
        throw invalidRequest('selectable_count may be as many as there are values.', [{ path: 'selectable_count' }])
      return plain(body)
    case 'reaction': {
      const { type, ...content } = body
      return { type, content: defined(content) }
    }
    default:
      return prepareFile(body, media)
  }
}

function plain({ type, ...content }: { type: string }): Prepared {
  return { type, content }
}

async function prepareFile(body: Extract<Body, { media: MediaSource }>, media: Files): Promise<Prepared> {
  if (body.type === 'sticker') throw new TypeError('stickers are prepared elsewhere')
  const { type, caption, voice } = body
  if (voice && type !== 'audio') throw invalidRequest('voice goes with mediaType "audio" only.')
  const { bytes, mime_type, file_name } = await media.obtain(body.media, type, body.file_name)
  const content = { mime_type, file_name, size: bytes.length, caption: caption || undefined, voice: voice || undefined }
  return { type, content: defined(content), bytes }
}

/** Without `wuid` as digits the engine writes a vCard that phones cannot open a chat from. */
function cardOf(card: ContactCard, defaultCountry: string) {
  const wuid = parseRecipient(card.phone_number, defaultCountry).recipient
  const { full_name, organization, email, url } = card
  return defined({ fullName: full_name, wuid, phoneNumber: `+${wuid}`, organization, email, url })
}

function defined(content: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(content).filter(([, value]) => value !== undefined))
}
