import { hash } from 'node:crypto'
import type { Bus } from '../cache/bus.js'
import * as apiKeys from '../db/api-keys.js'
import { type KeyHolder, SCOPES, type Scope } from '../db/api-keys.js'
import type { Database } from '../db/database.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { unauthorized } from '../errors.js'
import type { AccessTokens } from './access-tokens.js'
import { isApiKey } from './api-keys.js'
import type { KeyUsage } from './key-usage.js'
import { refuseSuspended } from './user-standing.js'

/** How long a replica that missed a hint may still believe what it has cached. */
const CACHE_MS = 30_000
const CACHE_SIZE = 50_000

/** Who is calling, and what they may do. An access token may do everything, as whoever knows the password may. */
export interface Access {
  user: User
  scopes: readonly Scope[]
  api_key_id: number | null
  expires_at: Date | null
  rate_limit_per_minute: number | null
}

/** Who is calling: by API key, looked up by its hash and cached, or by access token. */
export class Authenticator {
  private readonly cache = new Map<string, { access: Access; until: number }>()
  /** Counts what had to be forgotten: an answer of the database that is older must not be cached. */
  private forgotten = 0

  constructor(
    private readonly db: Database,
    private readonly tokens: AccessTokens,
    private readonly usage: KeyUsage,
    bus: Bus,
  ) {
    bus.on('auth.changed', (hint) => this.forget(hint))
  }

  /** Throws `unauthorized`, or `forbidden` for a user who may not use the API now. */
  async authenticate(credentials: { api_key?: string; bearer?: string }): Promise<Access> {
    const access = await this.find(credentials)
    refuseSuspended(access.user)
    if (access.api_key_id !== null) this.usage.note(access.api_key_id)
    return access
  }

  private async find({ api_key, bearer }: { api_key?: string; bearer?: string }): Promise<Access> {
    if (api_key !== undefined) return this.byKey(api_key)
    if (bearer !== undefined) return isApiKey(bearer) ? this.byKey(bearer) : this.byToken(bearer)
    throw unauthorized('Send your API key in the header x-api-key.')
  }

  private async byKey(key: string): Promise<Access> {
    if (!isApiKey(key))
      throw unauthorized('The API key is unknown. It begins with wsk_ and is shown once, at registration.')
    const name = hash('sha256', key, 'base64')
    const cached = this.cache.get(name)
    if (cached && cached.until > Date.now()) return cached.access
    const before = this.forgotten
    const holder = await apiKeys.findHolder(this.db, Buffer.from(name, 'base64'))
    const access = accessOf(holder)
    if (before === this.forgotten) this.remember(name, access)
    return access
  }

  private remember(name: string, access: Access) {
    if (this.cache.size >= CACHE_SIZE) this.cache.delete(this.cache.keys().next().value!)
    // Never believed past the moment at which it becomes wrong by itself.
    const ends = [access.expires_at, access.user.next_time_zone_at].map((at) => at?.getTime() ?? Infinity)
    this.cache.set(name, { access, until: Math.min(Date.now() + CACHE_MS, ...ends) })
  }

  private async byToken(token: string): Promise<Access> {
    const claims = await this.tokens.read(token)
    const user = claims && (await users.findById(this.db, claims.user_id))
    if (!user || user.token_version !== claims.token_version)
      throw unauthorized('The access token is not valid or has expired. Log in again.')
    return { user, scopes: SCOPES, api_key_id: null, expires_at: null, rate_limit_per_minute: null }
  }

  private forget({ key_hash, user_id }: { key_hash?: string; user_id?: number }) {
    this.forgotten++
    if (key_hash) this.cache.delete(key_hash)
    if (user_id === undefined) return
    for (const [name, { access }] of this.cache) if (access.user.id === user_id) this.cache.delete(name)
  }
}

/** Only who holds all 256 bits of a key learns that it once was good. */
function accessOf(holder: KeyHolder | undefined): Access {
  if (!holder) throw unauthorized('The API key is unknown. Log in and rotate it to get a new one.')
  const { user, key } = holder
  if (key.revoked_at) throw unauthorized('The API key was revoked. Use a newer one, or log in and rotate it.')
  if (key.expires_at && key.expires_at.getTime() <= Date.now())
    throw unauthorized(
      `The API key expired at ${key.expires_at.toISOString()}. Use a newer one, or log in and create one.`,
    )
  const { id, scopes, expires_at, rate_limit_per_minute } = key
  return { user, scopes, api_key_id: id, expires_at, rate_limit_per_minute }
}
