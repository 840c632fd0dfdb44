import type { Bus } from '../cache/bus.js'
import * as apiKeys from '../db/api-keys.js'
import type { Database } from '../db/database.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { AppError, unauthorized } from '../errors.js'
import type { AccessTokens } from './access-tokens.js'
import { hashApiKey, isApiKey } from './api-keys.js'

/** How long a replica that missed a hint may still believe what it has cached. */
const CACHE_MS = 30_000
const CACHE_SIZE = 50_000

/** Who is calling: by API key, looked up by its hash and cached, or by access token. */
export class Authenticator {
  private readonly cache = new Map<string, { user: User; until: number }>()

  constructor(
    private readonly db: Database,
    private readonly tokens: AccessTokens,
    bus: Bus,
  ) {
    bus.on('auth.changed', (hint) => this.forget(hint))
  }

  /** Throws `unauthorized`, or `forbidden` for a user who may not use the API now. */
  async authenticate(credentials: { api_key?: string; bearer?: string }): Promise<User> {
    const user = await this.find(credentials)
    if (user.status === 'suspended') throw new AppError('forbidden', 'This user is suspended. Ask the operator.')
    return user
  }

  private async find({ api_key, bearer }: { api_key?: string; bearer?: string }): Promise<User> {
    if (api_key !== undefined) return this.byKey(api_key)
    if (bearer !== undefined) return isApiKey(bearer) ? this.byKey(bearer) : this.byToken(bearer)
    throw unauthorized('Send your API key in the header x-api-key.')
  }

  private async byKey(key: string): Promise<User> {
    const hash = isApiKey(key) ? hashApiKey(key) : undefined
    if (!hash) throw unauthorized('The API key is unknown. It begins with wsk_ and is shown once, at registration.')
    const name = hash.toString('base64')
    const cached = this.cache.get(name)
    if (cached && cached.until > Date.now()) return cached.user
    const user = await apiKeys.findUser(this.db, hash)
    if (!user) throw unauthorized('The API key is unknown or revoked. Log in and rotate it to get a new one.')
    if (this.cache.size >= CACHE_SIZE) this.cache.clear()
    this.cache.set(name, { user, until: Date.now() + CACHE_MS })
    return user
  }

  private async byToken(token: string): Promise<User> {
    const claims = await this.tokens.read(token)
    const user = claims && (await users.findById(this.db, claims.user_id))
    if (!user || user.token_version !== claims.token_version)
      throw unauthorized('The access token is not valid or has expired. Log in again.')
    return user
  }

  private forget({ key_hash, user_id }: { key_hash?: string; user_id?: number }) {
    if (key_hash) this.cache.delete(key_hash)
    if (user_id === undefined) return
    for (const [name, { user }] of this.cache) if (user.id === user_id) this.cache.delete(name)
  }
}
