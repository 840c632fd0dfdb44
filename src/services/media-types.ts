import { fileTypeFromBuffer } from 'file-type'
import { cleanFileName, extensionOf, joinFileName } from './file-names.js'
import { FORMATS_BY_KIND, MIME_BY_EXTENSION, SAME_CONTAINER, TEXT_EXTENSIONS } from './media-formats.js'

export type MediaType = 'image' | 'video' | 'audio' | 'document'

/** The bytes cannot be sent as what they were declared to be; the message is public. */
export class MediaRejected extends Error {
  override name = 'MediaRejected'
}

type Found = { ext: string; mime: string }

const EXPECTED = {
  image: 'a JPEG, PNG, WebP, GIF, AVIF or TIFF image',
  video: 'an MP4, 3GP, MOV, WebM or MKV video',
  audio: 'an MP3, OGG, M4A, AAC, WAV, AMR, FLAC or WebM sound',
}

const TEXT_SAMPLE_BYTES = 4096

/**
 * The true mime type of a file, and a file name whose extension goes with it.
 * @throws {MediaRejected} when the file is empty or its bytes are not of the declared kind.
 */
export async function identifyMedia(
  bytes: Uint8Array,
  mediaType: MediaType,
  hints: { file_name?: string | undefined; mime_type?: string | undefined } = {},
): Promise<{ mime_type: string; file_name: string }> {
  if (bytes.length === 0) throw new MediaRejected('The file is empty.')
  const name = cleanFileName(hints.file_name ?? '')
  const found = await detect(bytes)
  if (mediaType === 'document') return nameAs(documentType(bytes, name, found, hints.mime_type), name, mediaType)

  const ext = found && FORMATS_BY_KIND[mediaType][found.ext]
  if (!ext || (mediaType === 'audio' && hasPicture(bytes, found.ext))) {
    throw new MediaRejected(`The file is not ${EXPECTED[mediaType]}. To send it as it is, use mediaType "document".`)
  }
  return nameAs(typeOf(ext), name, mediaType)
}

/** Files are hostile: one that confuses the detector is simply of no known type. */
async function detect(bytes: Uint8Array): Promise<Found | undefined> {
  return fileTypeFromBuffer(bytes).catch(() => undefined)
}

/** Bytes decide before the name, the name before the declared mime type. */
function documentType(bytes: Uint8Array, name: string, found: Found | undefined, declared?: string): Found {
  const named = extensionOf(name)
  const known = Object.hasOwn(MIME_BY_EXTENSION, named)
  if (TEXT_EXTENSIONS.has(named) && looksLikeText(bytes)) return typeOf(named)
  if (found) {
    const fits = known && (SAME_CONTAINER[found.ext]?.includes(named) ?? false)
    return fits ? typeOf(named) : typeOf(found.ext, found.mime)
  }
  if (known) return typeOf(named)
  const mime = declared?.split(';')[0]!.trim().toLowerCase()
  const ext = Object.keys(MIME_BY_EXTENSION).find((one) => MIME_BY_EXTENSION[one] === mime && one !== 'bin')
  return typeOf(ext ?? (looksLikeText(bytes) ? 'txt' : 'bin'))
}

function typeOf(ext: string, otherwise = 'application/octet-stream'): Found {
  return { ext, mime: MIME_BY_EXTENSION[ext] ?? otherwise }
}

/** Keeps a right extension, replaces a wrong one, and adds one where the name has none that means anything. */
function nameAs(type: Found, name: string, mediaType: MediaType): { mime_type: string; file_name: string } {
  const named = extensionOf(name)
  const isExtension = named === type.ext || Object.hasOwn(MIME_BY_EXTENSION, named)
  const stem = isExtension ? name.slice(0, -named.length - 1) : name
  const ext = isExtension && MIME_BY_EXTENSION[named] === type.mime ? named : type.ext
  return { mime_type: type.mime, file_name: joinFileName(stem || mediaType, ext) }
}

/** Whether a container that file-type takes for a video really holds one, and not sound alone. */
function hasPicture(bytes: Uint8Array, ext: string): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (ext === 'webm') return ['V_VP8', 'V_VP9', 'V_AV1', 'V_MPEG'].some((codec) => buffer.includes(codec))
  if (ext !== 'mp4') return false
  // ISO 14496-12 §8.4.3: after `hdlr` come 8 bytes, then the kind of the track.
  for (let at = buffer.indexOf('hdlr'); at !== -1; at = buffer.indexOf('hdlr', at + 4)) {
    if (buffer.toString('latin1', at + 12, at + 16) === 'vide') return true
  }
  return false
}

/** Excel's "Unicode text" begins with the byte-order mark of UTF-16. */
function encodingOf([first, second]: Uint8Array): string {
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  return first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8'
}

function looksLikeText(bytes: Uint8Array): boolean {
  const sample = bytes.subarray(0, TEXT_SAMPLE_BYTES)
  try {
    // The sample may end within a character, hence `stream`.
    const text = new TextDecoder(encodingOf(sample), { fatal: true }).decode(sample, { stream: true })
    // eslint-disable-next-line no-control-regex -- what no text has
    return !/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text)
  } catch {
    return false
  }
}
