import type { Bus } from '../cache/bus.js'
import type { Database, Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as laneGates from '../db/lane-gates.js'
import * as lanes from '../db/lanes.js'
import * as numberPlacement from '../db/number-placement.js'
import * as userAccounts from '../db/user-accounts.js'
import type { Account } from '../db/user-accounts.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { publicEvent } from './public-events.js'

const DAY_MS = 86_400_000
const HOLD_REASONS = { suspended: 'user_suspended', expired: 'plan_expired' } as const

interface Options {
  warning_days: number
  grace_days: number
}

/** Whether users may send: follows from a suspension by the operator and from the end of their time. */
export class UserExpiry {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly options: Options,
  ) {}

  /** Warns, and ends the time of those whose grace is over; each stage is told once. Answers how many were told. */
  async runOnce(now = new Date()): Promise<number> {
    const due = await userAccounts.listEnding(this.db, { ...this.options, now })
    for (const id of due) {
      await this.db.transaction((tx) => this.advance(tx, id, now))
      this.tell(id)
    }
    return due.length
  }

  /**
   * Makes a user's status, and with it the lanes, what suspension and time say. Numbers stay linked, messages keep
   * their places. The user's row must be locked.
   */
  async settle(tx: Queryable, account: Account, now = new Date()): Promise<User['status']> {
    const status = this.statusOf(account, now)
    if (status === account.status) return status
    await userAccounts.setStatus(tx, account.id, status)
    const ids = await numberPlacement.listOfUser(tx, account.id)
    await lanes.lock(tx, ids)
    await laneGates.letGo(tx, ids)
    if (status !== 'active') await laneGates.hold(tx, ids, HOLD_REASONS[status])
    return status
  }

  /** After the commit: the replicas forget what they know of the user, and lanes are looked at. */
  tell(id: number): void {
    this.bus.tell('auth.changed', { user_id: id })
    this.bus.tell('lanes.due', {})
    this.bus.tell('deliveries.due', {})
  }

  private statusOf({ suspended_at, active_until }: Account, now: Date): User['status'] {
    if (suspended_at) return 'suspended'
    return active_until && this.endOf(active_until) <= now ? 'expired' : 'active'
  }

  private endOf(activeUntil: Date): Date {
    return new Date(activeUntil.getTime() + this.options.grace_days * DAY_MS)
  }

  private async advance(tx: Queryable, id: number, now: Date): Promise<void> {
    await users.lock(tx, id)
    const account = await userAccounts.find(tx, id)
    if (!account?.active_until) return
    const { active_until } = account
    const sends_until = this.endOf(active_until)
    const stage = sends_until <= now ? 3 : active_until <= now ? 2 : 1
    if (account.expiry_told >= stage) return
    await userAccounts.setExpiryTold(tx, id, stage)
    await this.settle(tx, account, now)
    const type = stage === 3 ? 'plan.expired' : 'plan.expiring'
    const data = { phase: PHASES[stage], active_until, sends_until, advice: ADVICE[stage] }
    await events.record(tx, [publicEvent(type, { user_id: id }, data, now)])
  }
}

const PHASES: Record<number, string> = { 1: 'warning', 2: 'grace', 3: 'expired' }
const ADVICE: Record<number, string> = {
  1: 'Your plan ends soon. Ask the operator to renew it.',
  2: 'Your plan has ended. Sending goes on until sends_until; ask the operator to renew it.',
  3: 'Nothing is sent any more. Numbers stay linked, messages wait until their time to live is over. Ask the operator to renew your plan.',
}
