import { randomBytes } from 'node:crypto'
import type { Bus } from '../cache/bus.js'
import * as apiKeys from '../db/api-keys.js'
import { type ApiKey, type ApiKeyChanges, SCOPES, type Scope } from '../db/api-keys.js'
import type { Database, Queryable } from '../db/database.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { AppError, invalidRequest, notFound, unauthorized } from '../errors.js'
import type { Access } from './authenticator.js'
import { sha256 } from './sha256.js'
import { refuseSuspended } from './user-standing.js'

export { type ApiKey, SCOPES, type Scope }

/** Far more than anybody names; an unlimited list would be a way to fill the database. */
const MAX_KEYS = 50
const HOUR_MS = 3_600_000

export interface NewApiKey {
  name: string
  scopes: Scope[]
  rate_limit_per_minute: number | null
  expires_at: Date | null
}

export interface Issued {
  key: ApiKey
  /** The only sight of it. */
  api_key: string
}

/** A new key and what is stored of it: 32 random bytes need no salt and no slow hash. */
export function newApiKey() {
  const api_key = `wsk_${randomBytes(32).toString('base64url')}`
  return { api_key, key_hash: sha256(api_key), hint: `wsk_…${api_key.slice(-4)}` }
}

/** What a user gets first: it may do everything. */
const FULL_KEY: NewApiKey = { name: 'default', scopes: [...SCOPES], rate_limit_per_minute: null, expires_at: null }

/** Stores a user with a first key; `taken` makes the error for a used e-mail. */
export async function insertUser(
  tx: Queryable,
  row: Omit<users.NewUser, 'api_key'>,
  taken: () => AppError,
): Promise<{ user: User; api_key: string }> {
  const { api_key, key_hash, hint } = newApiKey()
  const user = await users.insert(tx, { ...row, api_key: hint }, taken)
  await apiKeys.insert(tx, { ...FULL_KEY, user_id: user.id, key_hash, hint })
  return { user, api_key }
}

/** Anything else cannot be a key and is not worth a look-up. */
export const isApiKey = (text: string) => /^wsk_[\w-]{43}$/.test(text)

/** The keys of one user. Whoever asks with a key can give away no more than that key has, and no longer. */
export class ApiKeyService {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  list(userId: number): Promise<ApiKey[]> {
    return apiKeys.listOwned(this.db, userId)
  }

  async create(access: Access, input: NewApiKey): Promise<Issued> {
    checkExpiry(input.expires_at)
    return this.change(access, (tx, caller) => {
      checkPower(caller, input)
      return this.issue(tx, caller.user.id, input)
    })
  }

  async update(access: Access, id: number, changes: ApiKeyChanges): Promise<ApiKey> {
    checkExpiry(changes.expires_at)
    const { key } = await this.change(access, async (tx, caller) => {
      const { key_hash, ...old } = await this.get(tx, caller, id)
      const key = { ...old, ...changes }
      checkPower(caller, old)
      checkPower(caller, key)
      await apiKeys.update(tx, caller.user.id, key)
      return { key, ended: [key_hash] }
    })
    return key
  }

  async revoke(access: Access, id: number): Promise<void> {
    await this.change(access, async (tx) => {
      const { key_hash } = await this.get(tx, access, id)
      await apiKeys.revoke(tx, access.user.id, id)
      return { ended: [key_hash] }
    })
  }

  /** A new key with the name and rights of an old one, which works on for some hours, so that nobody is cut off. */
  async rotate(access: Access, id: number, options: { overlap_hours: number; expires_at?: Date }): Promise<Issued> {
    checkExpiry(options.expires_at)
    return this.change(access, async (tx, caller) => {
      const { key_hash, ...old } = await this.get(tx, caller, id)
      if (old.expires_at && old.expires_at <= new Date())
        throw new AppError('conflict', 'This API key has expired. Create a new one.')
      const fresh = { ...old, expires_at: options.expires_at ?? old.expires_at }
      checkPower(caller, fresh)
      const end = new Date(Date.now() + options.overlap_hours * HOUR_MS)
      if (options.overlap_hours === 0) await apiKeys.revoke(tx, access.user.id, id)
      else if (!old.expires_at || end < old.expires_at)
        await apiKeys.update(tx, access.user.id, { ...old, expires_at: end })
      return { ...(await this.issue(tx, access.user.id, fresh)), ended: [key_hash] }
    })
  }

  /** Ends every key the user has and answers a new one that may do everything. */
  async rotateAll(access: Access): Promise<string> {
    const { api_key } = await this.change(access, async (tx, caller) => {
      checkPower(caller, FULL_KEY)
      const ended = await apiKeys.revokeAll(tx, access.user.id)
      return { ...(await this.issue(tx, access.user.id, FULL_KEY)), ended }
    })
    return api_key
  }

  private async issue(tx: Queryable, userId: number, input: NewApiKey): Promise<Issued & { ended?: Buffer[] }> {
    const now = new Date()
    const living = (await apiKeys.listOwned(tx, userId)).filter(({ expires_at }) => !expires_at || expires_at > now)
    if (living.length >= MAX_KEYS)
      throw new AppError('conflict', `A user has ${MAX_KEYS} API keys at most. Delete one first.`)
    const { api_key, key_hash, hint } = newApiKey()
    const { name, scopes, rate_limit_per_minute, expires_at } = input
    const row = { user_id: userId, name, scopes, rate_limit_per_minute, expires_at, key_hash, hint }
    return { key: await apiKeys.insert(tx, row), api_key }
  }

  private async get(tx: Queryable, { user }: Access, id: number) {
    const key = await apiKeys.findOwned(tx, user.id, id)
    if (!key) throw notFound('API key')
    return key
  }

  /**
   * Under the user's lock, so that two at once cannot pass the limit, and with what the caller may do at this moment: a
   * key that has ended since the request began must not make another. Caches forget what has changed.
   */
  private async change<T extends { ended?: Buffer[] }>(
    access: Access,
    work: (tx: Queryable, caller: Access) => Promise<T>,
  ) {
    const result = await this.db.transaction(async (tx) => {
      const user = await users.lock(tx, access.user.id)
      if (!user) throw notFound('user')
      const done = await work(tx, await accessNow(tx, access, user))
      await users.refreshKeyHint(tx, user.id)
      return done
    })
    for (const hash of result.ended ?? []) this.bus.tell('auth.changed', { key_hash: hash.toString('base64') })
    return result
  }
}

/** Throws `unauthorized` when the key or the access token has ended, `forbidden` when the user was suspended. */
async function accessNow(tx: Queryable, access: Access, user: User): Promise<Access> {
  refuseSuspended(user)
  if (access.api_key_id === null) {
    if (user.token_version === access.user.token_version) return access
    throw unauthorized('The access token has ended. Log in again.')
  }
  const key = await apiKeys.findOwned(tx, user.id, access.api_key_id)
  if (!key || (key.expires_at && key.expires_at.getTime() <= Date.now()))
    throw unauthorized('This API key has ended. Use a newer one, or log in and create one.')
  const { scopes, expires_at, rate_limit_per_minute } = key
  return { ...access, user, scopes, expires_at, rate_limit_per_minute }
}

function checkExpiry(at: Date | null | undefined) {
  if (at && at.getTime() <= Date.now())
    throw invalidRequest('expires_at lies in the past.', [{ path: 'expires_at', message: 'must be in the future' }])
}

type Power = Pick<ApiKey, 'scopes' | 'expires_at' | 'rate_limit_per_minute'>

/** Without this a stolen key of few rights could make itself one of many, or one that never ends. */
function checkPower({ scopes, expires_at, rate_limit_per_minute: limit }: Access, wanted: Power) {
  const missing = wanted.scopes.filter((scope) => !scopes.includes(scope))
  if (missing.length > 0)
    throw new AppError(
      'forbidden',
      `Your API key lacks the scope ${missing.join(', ')} and cannot rule over keys that have it. Log in, or use a key with all scopes.`,
    )
  if (expires_at && (!wanted.expires_at || wanted.expires_at > expires_at))
    throw new AppError('forbidden', 'An API key that expires cannot rule over keys that live longer. Log in instead.')
  if (limit !== null && (wanted.rate_limit_per_minute === null || wanted.rate_limit_per_minute > limit))
    throw new AppError(
      'forbidden',
      'An API key with a limit of its own cannot rule over keys that may ask more often. Log in instead.',
    )
}
