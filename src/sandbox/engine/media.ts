import { extname } from 'node:path'
import { request } from 'undici'
import { failure } from './failure.js'

const MIME_BY_EXTENSION: Record<string, string> = {
  '.aac': 'audio/aac',
  '.csv': 'text/csv',
  '.doc': 'application/msword',
  '.docx': 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  '.gif': 'image/gif',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
  '.m4a': 'audio/mp4',
  '.mov': 'video/quicktime',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.oga': 'audio/ogg',
  '.ogg': 'audio/ogg',
  '.opus': 'audio/ogg',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.ppt': 'application/vnd.ms-powerpoint',
  '.pptx': 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  '.txt': 'text/plain',
  '.wav': 'audio/wav',
  '.webm': 'video/webm',
  '.webp': 'image/webp',
  '.xls': 'application/vnd.ms-excel',
  '.xlsx': 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  '.zip': 'application/zip',
}

/** The text "false" for an unknown extension is what Evolution really sends. */
export const mimeOf = (fileName: string): string => MIME_BY_EXTENSION[extname(fileName).toLowerCase()] ?? 'false'

export function extensionOf(mimetype: string): string {
  const plain = mimetype.split(';', 1)[0]
  return (
    Object.entries(MIME_BY_EXTENSION)
      .find(([, mime]) => mime === plain)?.[0]
      .slice(1) ?? 'bin'
  )
}

export const isBase64 = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(value)

/** A URL whose host is an address or has a top-level domain: `localhost` and docker service names are none. */
export function isUrl(value: unknown): value is string {
  if (typeof value !== 'string' || !URL.canParse(value)) return false
  const { protocol, hostname } = new URL(value)
  const isAddress = /^\d+\.\d+\.\d+\.\d+$/.test(hostname) || hostname.startsWith('[')
  return /^(https?|ftp):$/.test(protocol) && (isAddress || /\.[a-z\u00a1-\uffff-]{2,}$/i.test(hostname))
}

/** Downloads a URL as Evolution does: no time limit, no size limit, and the library's error text. */
export async function fetchMedia(media: string): Promise<Buffer> {
  if (!isUrl(media)) return Buffer.from(media, 'base64')
  try {
    const { statusCode, body } = await request(media)
    const bytes = Buffer.from(await body.arrayBuffer())
    if (statusCode >= 400) throw new Error(`Request failed with status code ${statusCode}`)
    return bytes
  } catch (error) {
    throw failure(500, [`Error: ${(error as Error).message}`])
  }
}

const startsWith = (bytes: Uint8Array, ...signature: number[]): boolean =>
  signature.every((byte, index) => bytes[index] === byte)

/** What ffmpeg would take for audio. */
export const looksLikeAudio = (bytes: Buffer): boolean =>
  ['OggS', 'ID3', 'RIFF', 'fLaC'].some((magic) => bytes.toString('latin1', 0, magic.length) === magic) ||
  bytes.toString('latin1', 4, 8) === 'ftyp' ||
  (bytes[0] === 0xff && ((bytes[1] ?? 0) & 0xe0) === 0xe0)

export const looksLikeVideo = (bytes: Buffer): boolean =>
  bytes.toString('latin1', 4, 8) === 'ftyp' || startsWith(bytes, 0x1a, 0x45, 0xdf, 0xa3)

/** Height and width of a PNG or GIF; other pictures get none. */
export function pictureSize(bytes: Buffer): { height: number; width: number } | undefined {
  if (startsWith(bytes, 0x89, 0x50, 0x4e, 0x47) && bytes.length >= 24) {
    return { height: bytes.readUInt32BE(20), width: bytes.readUInt32BE(16) }
  }
  if (startsWith(bytes, 0x47, 0x49, 0x46, 0x38) && bytes.length >= 10) {
    return { height: bytes.readUInt16LE(8), width: bytes.readUInt16LE(6) }
  }
  return undefined
}
