import type { MediaClient } from '../clients/media.js'
import { MediaUnavailable } from '../clients/media.js'
import { AppError, invalidRequest } from '../errors.js'
import { TargetRefused } from '../webhooks/target-guard.js'
import { MediaRejected, type MediaType, identifyMedia } from './media-types.js'
import { Shares } from './shares.js'

/** Where the bytes of an outgoing file come from: exactly one of them. */
export interface MediaSource {
  url?: string
  base64?: string
  upload?: { bytes: Buffer; file_name?: string; mime_type?: string }
}

export interface Media {
  bytes: Buffer
  mime_type: string
  file_name: string
}

/** Where a send gets its files from. */
export interface Files {
  obtain(source: MediaSource, type: MediaType, fileName?: string): Promise<Media>
}

/** Files fetched at the same time: each is in memory until all of it is there, and its server may be slow. */
const MAX_FETCHES = { all: 8, per_user: 2, waiting_per_user: 50 }

/** Gets the bytes and makes sure of what they are. The quota is untouched until this has succeeded. */
export class MediaService {
  private readonly fetches = new Shares(MAX_FETCHES)

  constructor(
    private readonly client: MediaClient,
    private readonly options: { max_bytes: number },
  ) {}

  /** For the sends of one user. */
  of(userId: number): Files {
    return { obtain: (source, type, fileName) => this.obtain(userId, source, type, fileName) }
  }

  async obtain(userId: number, source: MediaSource, type: MediaType, fileName?: string): Promise<Media> {
    const found = await this.open(userId, source)
    try {
      const hints = { file_name: fileName ?? found.file_name, mime_type: found.mime_type }
      return { bytes: found.bytes, ...(await identifyMedia(found.bytes, type, hints)) }
    } catch (err) {
      if (err instanceof MediaRejected) throw new AppError('media_rejected', err.message)
      throw err
    }
  }

  async open(userId: number, source: MediaSource): Promise<NonNullable<MediaSource['upload']>> {
    const given = Object.values(source).filter((one) => one !== undefined)
    if (given.length > 1) throw invalidRequest('Give one file: mediaUrl, base64, or an upload named "file".')
    if (source.upload) return source.upload
    if (source.base64 !== undefined)
      return { bytes: this.decode(source.base64), file_name: undefined, mime_type: undefined }
    const { url } = source
    if (url === undefined) throw invalidRequest('Give the file: mediaUrl, base64, or an upload named "file".')
    try {
      return await this.fetches.run(userId, () => this.client.fetch(url))
    } catch (err) {
      if (err instanceof TargetRefused) throw invalidRequest(err.message, [{ path: 'mediaUrl', message: err.message }])
      if (err instanceof MediaUnavailable)
        throw new AppError(err.too_large ? 'payload_too_large' : 'media_rejected', err.message)
      throw err
    }
  }

  private decode(text: string): Buffer {
    const raw = text.replace(/^data:[^,]*;base64,/, '').replace(/\s+/g, '')
    if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(raw)) throw invalidRequest('base64 is not valid base64.')
    const bytes = Buffer.from(raw, 'base64')
    if (bytes.length > this.options.max_bytes) {
      const limit = Math.floor(this.options.max_bytes / 1024 / 1024)
      throw new AppError('payload_too_large', `The file is larger than ${limit} MB, the most this server sends.`)
    }
    return bytes
  }
}

/** How long one call may fetch files; what has begun by then may end. */
const FETCHING_MS = 60_000

const tooSlow = () =>
  new AppError('media_rejected', 'The files of this call took too long to fetch. Send the rest in another call.')

/** The files of one call with many messages: each URL is fetched once, and all of them must fit into the memory. */
export class MediaBatch implements Files {
  private readonly fetched = new Map<string, ReturnType<MediaService['open']>>()
  private readonly end = Date.now() + FETCHING_MS
  private size = 0

  constructor(
    private readonly media: MediaService,
    private readonly userId: number,
    private readonly maxBytes: number,
  ) {}

  async obtain(source: MediaSource, type: MediaType, fileName?: string): Promise<Media> {
    if (this.size > this.maxBytes) throw this.tooMuch()
    const found = await this.media.obtain(this.userId, { upload: await this.open(source) }, type, fileName)
    this.size += found.bytes.length
    if (this.size > this.maxBytes) throw this.tooMuch()
    return found
  }

  private open(source: MediaSource) {
    if (source.url === undefined || source.base64 !== undefined) return this.media.open(this.userId, source)
    const begun = this.fetched.get(source.url)
    if (!begun && Date.now() > this.end) throw tooSlow()
    const fetched = begun ?? this.media.open(this.userId, source)
    this.fetched.set(source.url, fetched)
    return fetched
  }

  private tooMuch() {
    const limit = Math.floor(this.maxBytes / 1024 / 1024)
    return new AppError(
      'payload_too_large',
      `The files of one call may have ${limit} MB together. Send the rest in another call.`,
    )
  }
}
