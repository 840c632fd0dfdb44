import type { Bus } from '../cache/bus.js'
import * as apiKeys from '../db/api-keys.js'
import * as auditLog from '../db/audit-log.js'
import { BEGIN_IN_PARTS, type Database } from '../db/database.js'
import * as erasure from '../db/erasure.js'
import * as laneGates from '../db/lane-gates.js'
import * as lanes from '../db/lanes.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import * as webhooks from '../db/webhooks.js'
import { AppError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Clock } from './clock.js'
import type { PhoneNumberService } from './phone-numbers.js'
import type { ProfileService } from './profiles.js'

const USERS_PER_ROUND = 10
const NUMBERS_PER_ROUND = 100
const BATCH = 1_000
/** A send that was under way when its user left has ended by then, one way or the other. */
const SETTLING_MS = 180_000

/** Lets users leave: their keys end and their name is gone at once, numbers and data follow in the background. */
export class UserDeletion {
  constructor(
    private readonly db: Database,
    private readonly profiles: ProfileService,
    private readonly numbers: PhoneNumberService,
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** With the password, since a key alone may be stolen. */
  async request(user: User, password: string, address: string): Promise<void> {
    await this.profiles.confirm(user, password, address)
    await this.begin(user.id)
  }

  /** From here on nobody can act for this user, its e-mail address is free, nothing is sent or posted to its webhooks. */
  async begin(userId: number): Promise<void> {
    const user = await users.findById(this.db, userId)
    if (user) await auditLog.forgetUser(this.db, user) // its address is gone afterwards, and with it the way to find them
    const ended = await this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, userId))) return []
      await apiKeys.revokeAll(tx, userId)
      await users.markDeleted(tx, userId)
      const owned = await webhooks.listOwned(tx, userId, { limit: Number.MAX_SAFE_INTEGER })
      const numbers = new Set(owned.flatMap(({ phone_number_id }) => phone_number_id ?? []))
      for (const id of [...numbers].sort((one, other) => one - other)) await phoneNumbers.lock(tx, id)
      for (const webhook of owned) await webhooks.markDeleted(tx, webhook)
      return owned
    })
    for (const { id } of ended) this.bus.tell('webhook.changed', { id })
    this.bus.tell('auth.changed', { user_id: userId })
    // Once more, for what was noted meanwhile.
    if (user) await auditLog.forgetUser(this.db, user)
    await this.holdLanes(userId)
  }

  /** By itself: whoever holds a lane may wait for the user's row. Until the numbers are gone nothing is sent. */
  private async holdLanes(userId: number): Promise<void> {
    await this.db.transaction(async (tx) => {
      const numbers = await numberPlacement.listOfUser(tx, userId)
      await lanes.lock(tx, numbers)
      await laneGates.hold(tx, numbers, 'user_suspended')
    })
  }

  /** Goes on with every deletion that was begun; whatever fails is tried again in the next round. */
  async runOnce(): Promise<void> {
    for (const user of await users.listLeaving(this.db, USERS_PER_ROUND))
      await this.attempt(user, () => this.unlink(user))
    const settled = new Date(this.clock.now().getTime() - SETTLING_MS)
    for (const user of await users.listGone(this.db, settled, USERS_PER_ROUND))
      await this.attempt(user, () => this.erase(user))
  }

  private async attempt({ id }: { id: number }, work: () => Promise<void>): Promise<void> {
    await work().catch((err: unknown) => this.log.warn({ err, user_id: id }, 'a user is not erased yet'))
  }

  /** The engine's side is left to the remover: a server that hangs must not hold up those who left after this one. */
  private async unlink(user: { id: number }): Promise<void> {
    await this.holdLanes(user.id)
    for (const { id } of await phoneNumbers.listOwned(this.db, user.id, { limit: NUMBERS_PER_ROUND }))
      await this.attempt(user, () => this.numbers.delete(user, id, { hurry: false }).catch(ignoreMissing))
  }

  private async erase({ id }: { id: number }): Promise<void> {
    for (let part = 0; part < erasure.PARTS; part++) {
      const next = () => this.db.transaction((tx) => erasure.deleteSome(tx, part, id, BATCH), BEGIN_IN_PARTS)
      while ((await next()) > 0);
    }
    await users.remove(this.db, id)
  }
}

/** Another process was faster. */
function ignoreMissing(err: unknown) {
  if (!(err instanceof AppError && err.code === 'not_found')) throw err
}
