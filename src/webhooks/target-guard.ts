import { Resolver, lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { Agent, buildConnector, Pool } from 'undici'
import { PrivateTargets } from './private-targets.js'
import { isLocalName, isPublicAddress } from './public-address.js'

export type RefusalReason = 'malformed' | 'too_long' | 'scheme' | 'credentials' | 'port' | 'inside'

/** A URL that must not be called; the message is public and says what to do. */
export class TargetRefused extends Error {
  override name = 'TargetRefused'
  readonly code = 'TARGET_REFUSED'

  constructor(
    readonly reason: RefusalReason,
    message: string,
  ) {
    super(message)
  }
}

export type Address = { address: string; family: number }
export type Lookup = (hostname: string) => Promise<Address[]>
/** Options of undici's Agent but those that decide where a connection goes. */
export type DispatcherOptions = Omit<Agent.Options, 'connect' | 'factory' | 'socketPath' | 'tls'>

const MAX_URL_LENGTH = 2048
/** A name that takes longer to resolve counts as unresolvable while a URL is stored; each attempt judges it again. */
const STORE_LOOKUP_MS = 3000
/** Of one question to one name server, and how often it is asked. */
const RESOLVER = { timeout: 2_000, tries: 2 }

const MESSAGES = {
  malformed: 'This is not a URL. Give a whole one, like https://example.com/path.',
  too_long: `The URL is too long. It may have ${MAX_URL_LENGTH} characters.`,
  scheme: 'The URL must begin with https:// or http://.',
  credentials: 'The URL carries a user name or a password. Leave them out; nothing before an @ is accepted.',
  port: 'Port 0 cannot be called. Give the port the server listens on, or none.',
}

/** Keeps requests to URLs that users gave from reaching the inside of the operator's network (SSRF). */
export class TargetGuard {
  readonly #targets: PrivateTargets
  readonly #setting: string
  readonly #lookup: Lookup
  readonly #resolver: Resolver
  readonly #agents = new Set<Agent>()

  /** @throws {RangeError} when an entry of `private_targets` cannot be read. */
  constructor(options: { private_targets: string[]; setting: string; lookup?: Lookup; resolver?: Resolver }) {
    this.#targets = new PrivateTargets(options.private_targets, options.setting)
    this.#setting = options.setting
    this.#resolver = options.resolver ?? new Resolver(RESOLVER)
    this.#lookup = options.lookup ?? ((hostname) => this.#resolve(hostname))
  }

  /**
   * The URL, normalised, if it may be stored; an unresolvable name is accepted, as each attempt judges it again.
   * @throws {TargetRefused}
   */
  async checkUrl(text: string): Promise<URL> {
    const url = parseUrl(text)
    const host = bareHost(url.hostname)
    const port = portOf(url)
    if (this.#targets.allowsHost(host, port)) return url
    const addresses = isIP(host) ? [host] : await this.#addressesNow(url.hostname)
    if (!this.#mayCall(host, port, addresses)) throw this.#refusal(url.hostname, port)
    return url
  }

  /** An agent whose every connection is checked when it is made and goes only to a checked address; no redirects. */
  dispatcher(options: DispatcherOptions = {}): Agent {
    const agent = new Agent({
      ...options,
      // One connector per origin, because a lookup function is not told the port it is for.
      factory: (origin, opts) => new Pool(origin, { ...opts, connect: this.#connector(new URL(origin), options) }),
    })
    this.#agents.add(agent)
    return agent
  }

  /**
   * What users name is not asked of getaddrinfo, which holds one of the few threads that all names of this process share
   * for as long as a name server pleases: the engines' names would wait behind one user's.
   */
  async #resolve(hostname: string): Promise<Address[]> {
    const host = bareHost(hostname)
    if (isLocalName(host) || this.#targets.namesHost(host)) return systemLookup(hostname, { all: true })
    const answers = await Promise.allSettled([this.#resolver.resolve4(host), this.#resolver.resolve6(host)])
    const addresses = answers.flatMap((answer, i) =>
      answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family: i === 0 ? 4 : 6 })) : [],
    )
    if (addresses.length > 0) return addresses
    const cause = answers.map((answer) => (answer.status === 'rejected' ? (answer.reason as unknown) : undefined))
    throw Object.assign(new Error(`There is no address for ${host}.`, { cause }), { code: 'ENOTFOUND' })
  }

  /** Closes every dispatcher, after the requests in flight have ended. */
  async close(): Promise<void> {
    const agents = [...this.#agents]
    this.#agents.clear()
    await Promise.all(agents.filter((agent) => !agent.destroyed).map((agent) => agent.close()))
  }

  #connector(origin: URL, options: DispatcherOptions): buildConnector.connector {
    const port = portOf(origin)
    const connect = buildConnector({
      lookup: this.#checkedLookup(port),
      ...(options.connectTimeout === undefined ? {} : { timeout: options.connectTimeout }),
    })
    return (target, callback) => {
      // Node.js skips the lookup for a literal address, so that one is judged here.
      if (isIP(target.hostname) && !this.#mayCall(target.hostname, port, [target.hostname])) {
        queueMicrotask(() => callback(this.#refusal(origin.hostname, port), null))
        return
      }
      connect(target, callback)
    }
  }

  /** Hands the very answers it checked to the socket: a second resolution could answer otherwise (rebinding). */
  #checkedLookup(port: number): LookupFunction {
    return (hostname, options, callback) => {
      const answer = (addresses: Address[]) => {
        const first = addresses[0]
        const allowed = this.#mayCall(
          bareHost(hostname),
          port,
          addresses.map((one) => one.address),
        )
        if (!first || !allowed) callback(this.#refusal(hostname, port), '', 0)
        else if (options.all) callback(null, addresses)
        else callback(null, first.address, first.family)
      }
      this.#lookup(hostname).then(answer, (error: NodeJS.ErrnoException) => callback(error, '', 0))
    }
  }

  /** Mixed answers are refused: one inside address among public ones is how a check is talked round. */
  #mayCall(host: string, port: number, addresses: string[]): boolean {
    if (this.#targets.allowsHost(host, port)) return true
    const local = isLocalName(host)
    if (local && addresses.length === 0) return false
    return addresses.every((one) => this.#targets.allowsAddress(one, port) || (!local && isPublicAddress(one)))
  }

  async #addressesNow(hostname: string): Promise<string[]> {
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise<Address[]>((resolve) => {
      timer = setTimeout(() => resolve([]), STORE_LOOKUP_MS)
    })
    try {
      const answers = await Promise.race([this.#lookup(hostname), tooLate])
      return answers.map((one) => one.address)
    } catch {
      return []
    } finally {
      clearTimeout(timer)
    }
  }

  #refusal(hostname: string, port: number): TargetRefused {
    const target = `${hostname.replace(/\.+$/, '')}:${port}`
    return new TargetRefused(
      'inside',
      `${target} is not on the public internet. Give a public host, or have ${target} added to ${this.#setting} in this server's configuration.`,
    )
  }
}

function parseUrl(text: string): URL {
  if (text.length > MAX_URL_LENGTH) throw refused('too_long')
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url) throw refused('malformed')
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused('scheme')
  if (url.username !== '' || url.password !== '') throw refused('credentials')
  if (url.port === '0') throw refused('port')
  if (bareHost(url.hostname) === '') throw refused('malformed')
  return url
}

function refused(reason: keyof typeof MESSAGES): TargetRefused {
  return new TargetRefused(reason, MESSAGES[reason])
}

/** The host as it is compared: without the brackets of an IPv6 literal and without trailing dots. */
export function bareHost(hostname: string): string {
  return hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.+$/, '')
    .toLowerCase()
}

export function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
}
