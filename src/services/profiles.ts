import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as passwordResets from '../db/password-resets.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { notFound, unauthorized } from '../errors.js'
import { ACCESS_TOKEN_SECONDS, type AccessTokens } from './access-tokens.js'
import type { Clock } from './clock.js'
import { nextMidnight } from './days.js'
import type { LoginBackoff } from './login-backoff.js'
import { hashPassword, refuseCrowd, verifyPassword } from './passwords.js'
import { sha256 } from './sha256.js'
import { requireTimeZone } from './time-zones.js'

export interface ProfileChanges {
  full_name?: string | null
  company_name?: string | null
  time_zone?: string
}

/** What users change about themselves. */
export class ProfileService {
  constructor(
    private readonly db: Database,
    private readonly tokens: AccessTokens,
    private readonly backoff: LoginBackoff,
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  async get(user: User): Promise<User> {
    return (await users.findById(this.db, user.id)) ?? user
  }

  /** Names change at once, the time zone at the next midnight of the present one. */
  async update(user: User, changes: ProfileChanges): Promise<User> {
    const { time_zone } = changes
    if (time_zone !== undefined) await requireTimeZone(this.db, time_zone)
    const updated = await this.db.transaction(async (tx) => {
      const now = await users.lock(tx, user.id)
      if (!now) throw notFound('user')
      const full_name = changes.full_name === undefined ? now.full_name : changes.full_name
      const company_name = changes.company_name === undefined ? now.company_name : changes.company_name
      return users.updateProfile(tx, user.id, { full_name, company_name, ...this.zoneOf(now, time_zone) })
    })
    this.bus.tell('auth.changed', { user_id: user.id })
    return updated
  }

  /** Ends every access token and reset link; answers a new token, so that the caller stays logged in. */
  async changePassword(user: User, old: string, fresh: string, address: string) {
    await this.confirm(user, old, address)
    const password_hash = await hashPassword(fresh)
    const token_version = await this.db.transaction(async (tx) => {
      await passwordResets.revokeOf(tx, user.id)
      return users.setPassword(tx, user.id, password_hash)
    })
    this.bus.tell('auth.changed', { user_id: user.id })
    return {
      access_token: await this.tokens.issue({ user_id: user.id, token_version }),
      expires_in: ACCESS_TOKEN_SECONDS,
    }
  }

  /** With a one-time link of the operator instead of the old password; guesses elsewhere keep its user out no longer. */
  async resetPassword(token: string, fresh: string, address: string): Promise<void> {
    refuseCrowd()
    const password_hash = await hashPassword(fresh)
    const user = await this.db.transaction(async (tx) => {
      const id = await passwordResets.consume(tx, sha256(token), this.clock.now())
      const found = id === undefined ? undefined : await users.lock(tx, id)
      if (!found) throw unauthorized('This link is unknown, was used, or is too old. Ask the operator for a new one.')
      await users.setPassword(tx, found.id, password_hash)
      return found
    })
    await this.backoff.succeed({ email: user.email, address })
    this.bus.tell('auth.changed', { user_id: user.id })
  }

  /** That the caller is the owner, not only somebody with a key. */
  async confirm(user: User, password: string, address: string): Promise<void> {
    refuseCrowd()
    await this.backoff.begin({ email: user.email, address })
    const found = await users.findCredentials(this.db, user.email)
    if (!(await verifyPassword(password, found?.password_hash))) throw unauthorized('The password is wrong.')
    await this.backoff.succeed({ email: user.email, address })
  }

  /** Lets the changes of time zone begin whose midnight has come. */
  async switchTimeZones(): Promise<void> {
    for (const user_id of await users.switchTimeZones(this.db, this.clock.now()))
      this.bus.tell('auth.changed', { user_id })
  }

  private zoneOf(user: User, wanted: string | undefined) {
    if (wanted === undefined) return { next_time_zone: user.next_time_zone, next_time_zone_at: user.next_time_zone_at }
    if (wanted === user.time_zone) return { next_time_zone: null, next_time_zone_at: null }
    return { next_time_zone: wanted, next_time_zone_at: nextMidnight(user.time_zone, this.clock.now()) }
  }
}
