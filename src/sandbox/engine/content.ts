import type { Json } from '../store/records.js'
import { badRequest, failure } from './failure.js'
import { long, nowSeconds, randomMap, sha256Base64, sha256Map } from './ids.js'
import { fetchMedia, isUrl, looksLikeAudio, looksLikeVideo, mimeOf, pictureSize } from './media.js'

/** A WhatsApp message before it is addressed. */
export interface Content {
  type: string
  message: Json
  /** What the ledger shows for it. */
  text: string
  media?: { path: string; bytes: Buffer; sha256: string }
  /** Only then does the message carry a contextInfo. */
  contextual: boolean
}

export type Build = (body: Json) => Content | Promise<Content>

const plain = (type: string, content: Json, text: string): Content => ({
  type,
  message: { [type]: content },
  text,
  contextual: true,
})

export const text: Build = (body) => {
  const written = body.text as string
  if (!written.trim()) throw badRequest('Text is required')
  return { type: 'conversation', message: { conversation: written }, text: written, contextual: true }
}

export const location: Build = ({ latitude, longitude, name, address }) =>
  plain('locationMessage', { degreesLatitude: latitude, degreesLongitude: longitude, name, address }, String(name))

export const contact: Build = (body) => {
  const cards = (body.contact as Json[]).map((person) => ({ displayName: person.fullName, vcard: vcard(person) }))
  const first = cards[0]!
  if (cards.length === 1) return plain('contactMessage', first, String(first.displayName))
  const displayName = `${cards.length} contacts`
  return plain('contactsArrayMessage', { contacts: cards, displayName }, displayName)
}

export const poll: Build = ({ name, selectableCount, values }) => ({
  type: 'pollCreationMessageV3',
  message: {
    messageContextInfo: { messageSecret: randomMap() },
    pollCreationMessageV3: {
      name,
      selectableOptionsCount: selectableCount,
      options: (values as string[]).map((optionName) => ({ optionName })),
    },
  },
  text: String(name),
  contextual: false,
})

export const reaction: Build = ({ key, reaction: emoji }) => {
  const written = emoji as string
  const graphemes = [...new Intl.Segmenter().segment(written)].length
  if (written !== '' && (graphemes !== 1 || !/\p{Emoji_Presentation}|\p{Extended_Pictographic}/u.test(written))) {
    throw badRequest('Reaction must be a single emoji or empty string')
  }
  const content = { text: written, key, senderTimestampMs: Date.now() }
  return { type: 'reactionMessage', message: { reactionMessage: content }, text: written, contextual: false }
}

export const media: Build = async (body) => {
  const kind = body.mediatype as string
  const fileName = fileNameOf(body, kind)
  const bytes = await fetchMedia(body.media as string)
  const caption = body.caption as string | undefined
  const mimetype = fileName ? mimeOf(fileName) : ((body.mimetype as string | undefined) ?? 'false')
  const named = kind === 'document' ? { fileName } : {}
  const sized = kind === 'image' ? pictureSize(bytes) : undefined
  const thumbnail = sized ? { ...sized, jpegThumbnail: randomMap(24) } : {}
  return file(`${kind}Message`, bytes, { mimetype, caption, ...named, ...thumbnail }, caption ?? fileName ?? '')
}

export const voice: Build = async ({ audio }) => {
  const given = await fetchMedia(audio as string)
  // Evolution sends an empty voice note when ffmpeg could not make audio of it
  const bytes = looksLikeAudio(given) ? given : Buffer.alloc(0)
  return file('audioMessage', bytes, { mimetype: 'audio/ogg; codecs=opus', ptt: true }, '')
}

export const sticker: Build = async (body) =>
  file('stickerMessage', await fetchMedia(body.sticker as string), { mimetype: 'image/webp' }, '')

export const roundVideo: Build = async ({ video }) => {
  const bytes = await fetchMedia(video as string)
  if (!looksLikeVideo(bytes)) {
    throw failure(500, ['Error: Failed to get video duration: Invalid media duration'])
  }
  return file('ptvMessage', bytes, { mimetype: 'video/mp4' }, '')
}

const ANNOTATIONS: Record<string, Json> = {
  imageMessage: { interactiveAnnotations: [], scanLengths: [], annotations: [] },
  videoMessage: { interactiveAnnotations: [], annotations: [], processedVideos: [] },
}

/** An encrypted file on WhatsApp's media host. */
export function file(type: string, bytes: Buffer, described: Json, words: string): Content {
  const directPath = `/v/t62.7118-24/${Buffer.from(randomMap(12)).toString('hex')}.enc`
  const content = {
    ...ANNOTATIONS[type],
    url: `https://mmg.whatsapp.net${directPath}`,
    ...described,
    fileSha256: sha256Map(bytes),
    fileLength: long(bytes.length, true),
    mediaKey: randomMap(),
    fileEncSha256: randomMap(),
    directPath,
    mediaKeyTimestamp: long(nowSeconds()),
  }
  const stored = { path: directPath, bytes, sha256: sha256Base64(bytes) }
  return { ...plain(type, content, words), media: stored }
}

function fileNameOf(body: Json, kind: string): string | undefined {
  const given = body.fileName as string | undefined
  if (given) return given
  if (kind === 'image') return body.mimetype ? undefined : 'image.jpg'
  if (kind === 'video') return 'video.mp4'
  if (kind !== 'document' || !isUrl(body.media)) return undefined
  return new URL(body.media).pathname.split('/').pop()
}

function vcard(body: Json): string {
  const person = body as Record<string, string | undefined>
  const { fullName: name = '', phoneNumber: phone = '', organization, email, url } = person
  const waid = person.wuid ?? `${phone.replace(/\D/g, '')}@s.whatsapp.net`
  const lines = ['BEGIN:VCARD', 'VERSION:3.0', `N:${name}`, `FN:${name}`]
  if (organization) lines.push(`ORG:${organization};`)
  if (email) lines.push(`EMAIL:${email}`)
  if (url) lines.push(`URL:${url}`)
  lines.push(`item1.TEL;waid=${waid}:${phone}`, 'item1.X-ABLabel:Celular', 'END:VCARD')
  return lines.join('\n')
}
