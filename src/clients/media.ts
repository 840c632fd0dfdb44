import { type Agent, request } from 'undici'
import { TargetGuard, TargetRefused } from '../webhooks/target-guard.js'

export interface FetchedMedia {
  bytes: Buffer
  mime_type: string | undefined
  file_name: string | undefined
}

/** A file could not be fetched; `message` is public. */
export class MediaUnavailable extends Error {
  override name = 'MediaUnavailable'

  constructor(
    message: string,
    readonly too_large = false,
  ) {
    super(message)
  }
}

/** Fetches files from URLs that users gave: through the guard, without redirects, up to a size. */
export class MediaClient {
  private readonly guard: TargetGuard
  private readonly agent: Agent
  private readonly folders: { host: string; path: string }[]

  /** An entry of `private_targets` may end in a folder, `host:port/folder/`: then only what lies in it is fetched. */
  constructor(private readonly options: { private_targets: string[]; max_bytes: number }) {
    const targets = options.private_targets.map((entry) => {
      const slash = entry.search(/\/(?!\d{1,3}$)/) // a slash and up to three digits is a network, as in 10.0.0.0/8
      return slash < 0 ? { host: entry, path: '/' } : { host: entry.slice(0, slash), path: entry.slice(slash) }
    })
    this.folders = targets.filter(({ path }) => path !== '/')
    this.guard = new TargetGuard({
      private_targets: targets.map(({ host }) => host),
      setting: 'MEDIA_PRIVATE_TARGETS',
    })
    this.agent = this.guard.dispatcher({ connectTimeout: 5_000, headersTimeout: 15_000, bodyTimeout: 15_000 })
  }

  /** Throws TargetRefused or MediaUnavailable; both say what to do. */
  async fetch(url: string): Promise<FetchedMedia> {
    const target = await this.guard.checkUrl(url)
    this.checkFolder(target)
    try {
      const response = await request(target, {
        dispatcher: this.agent,
        headers: { 'user-agent': 'whatsapp-saas-api', accept: '*/*' },
        signal: AbortSignal.timeout(30_000),
      })
      if (response.statusCode !== 200) {
        response.body.on('error', () => {}).destroy()
        throw new MediaUnavailable(
          `The media URL answered ${response.statusCode}. It must answer 200 with the file itself.`,
        )
      }
      const bytes = await this.read(response.body, Number(response.headers['content-length'] ?? 0))
      return { bytes, mime_type: first(response.headers['content-type']), file_name: nameIn(target) }
    } catch (err) {
      if (err instanceof MediaUnavailable || err instanceof TargetRefused) throw err
      if (err instanceof Error && err.cause instanceof TargetRefused) throw err.cause
      throw new MediaUnavailable('The media URL could not be fetched. Check that it can be reached from this server.')
    }
  }

  close(): Promise<void> {
    return this.guard.close()
  }

  private checkFolder(url: URL) {
    const folders = this.folders.filter(({ host }) => host === url.host)
    if (folders.length > 0 && !folders.some(({ path }) => url.pathname.startsWith(path)))
      throw new TargetRefused(
        'inside',
        'This URL points inside the network. MEDIA_PRIVATE_TARGETS allows only one folder there.',
      )
  }

  private async read(body: AsyncIterable<Buffer> & { destroy: () => void }, announced: number): Promise<Buffer> {
    const limit = this.options.max_bytes
    const chunks: Buffer[] = []
    let size = announced > limit ? announced : 0
    if (size === 0)
      for await (const chunk of body) {
        size += chunk.length
        if (size > limit) break
        chunks.push(chunk)
      }
    if (size > limit) {
      body.destroy()
      throw new MediaUnavailable(
        `The file is larger than ${Math.floor(limit / 1024 / 1024)} MB, the most this server sends.`,
        true,
      )
    }
    return Buffer.concat(chunks)
  }
}

const first = (header: string | string[] | undefined) => (Array.isArray(header) ? header[0] : header)

function nameIn(url: URL): string | undefined {
  const last = url.pathname.split('/').pop() ?? ''
  try {
    return decodeURIComponent(last) || undefined
  } catch {
    return last
  }
}
