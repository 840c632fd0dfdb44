import { type Agent, request } from 'undici'
import { PrivateTargets } from '../webhooks/private-targets.js'
import { TargetGuard, TargetRefused, bareHost, portOf } from '../webhooks/target-guard.js'

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

const SETTING = 'MEDIA_PRIVATE_TARGETS'

interface Way {
  guard: TargetGuard
  agent: Agent
}

interface Folder extends Way {
  hosts: PrivateTargets
  path: string
}

function wayTo(private_targets: string[]): Way {
  const guard = new TargetGuard({ private_targets, setting: SETTING })
  return { guard, agent: guard.dispatcher({ connectTimeout: 5_000, headersTimeout: 15_000, bodyTimeout: 15_000 }) }
}

/** Fetches files from URLs that users gave: through the guard, without redirects, up to a size. */
export class MediaClient {
  private readonly anywhere: Way
  private readonly folders: Folder[]

  /** An entry of `private_targets` may end in a folder, `host:port/folder/`: then only what lies in it is fetched. */
  constructor(private readonly options: { private_targets: string[]; max_bytes: number }) {
    const targets = options.private_targets.map((entry) => {
      const slash = entry.search(/\/(?!\d{1,3}$)/) // a slash and up to three digits is a network, as in 10.0.0.0/8
      return slash < 0 ? { host: entry, path: '/' } : { host: entry.slice(0, slash), path: entry.slice(slash) }
    })
    this.anywhere = wayTo(targets.filter(({ path }) => path === '/').map(({ host }) => host))
    this.folders = targets
      .filter(({ path }) => path !== '/')
      .map(({ host, path }) => ({ ...wayTo([host]), path, hosts: new PrivateTargets([host], SETTING) }))
  }

  /** Throws TargetRefused or MediaUnavailable; both say what to do. */
  async fetch(url: string): Promise<FetchedMedia> {
    const { guard, agent } = this.choose(url)
    const target = await guard.checkUrl(url)
    try {
      const response = await request(target, {
        dispatcher: agent,
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

  async close(): Promise<void> {
    await Promise.all([this.anywhere, ...this.folders].map(({ guard }) => guard.close()))
  }

  /**
   * A folder is reached through a guard of its own, and only by the host as its entry has it: any name could lead to that
   * address, and past the folder.
   */
  private choose(text: string): Way {
    if (!URL.canParse(text)) return this.anywhere // which says what is wrong with it
    const url = new URL(text)
    const [host, port] = [bareHost(url.hostname), portOf(url)]
    const there = this.folders.filter(({ hosts }) => hosts.allowsHost(host, port) || hosts.allowsAddress(host, port))
    if (there.length === 0) return this.anywhere
    const folder = there.find(({ path }) => url.pathname.startsWith(path))
    // Some servers take an encoded slash for one, and go up with it.
    if (folder && !/%2f|%5c/i.test(url.pathname)) return folder
    throw new TargetRefused('inside', `This URL points inside the network. ${SETTING} allows only one folder there.`)
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
