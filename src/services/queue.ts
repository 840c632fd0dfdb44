import type { Database, Queryable } from '../db/database.js'
import type { Bus } from '../cache/bus.js'
import * as events from '../db/events.js'
import * as laneGates from '../db/lane-gates.js'
import * as lanes from '../db/lanes.js'
import * as media from '../db/media.js'
import * as queue from '../db/message-queue.js'
import type { Changed } from '../db/messages.js'
import * as usage from '../db/usage.js'
import type { User } from '../db/users.js'
import { statusEvent } from './message-view.js'
import { ownedNumber } from './owned-number.js'

const BATCH = 500

const PURGED = { status: 'canceled', code: 'purged', message: 'Its queue was purged before it was sent.' } as const
const EXPIRED = {
  status: 'expired',
  code: 'ttl_over',
  message: 'Its time to live was over before the phone number or its server came back. It was not sent.',
} as const

export const NUMBER_DELETED = {
  status: 'canceled',
  code: 'phone_number_deleted',
  message: 'Its phone number was deleted before it was sent.',
} as const

type End = Parameters<typeof queue.endQueued>[2]

/** The waiting half of a lane, as its owner sees and steers it. */
export class QueueService {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  async show(user: User, phoneNumberId: number) {
    await ownedNumber(this.db, user.id, phoneNumberId)
    const [lane, state] = await Promise.all([
      lanes.find(this.db, phoneNumberId),
      queue.queueState(this.db, phoneNumberId),
    ])
    return {
      ...state,
      in_flight: lane?.in_flight ?? null,
      paused: lane?.paused ?? false,
      blocked_reason: lane?.blocked_reason ?? null,
      blocked_since: lane?.blocked_since ?? null,
      restricted_until: lane?.restricted_until ?? null,
      gap_seconds: lane?.gap_seconds ?? null,
    }
  }

  async setPaused(user: User, phoneNumberId: number, paused: boolean) {
    await ownedNumber(this.db, user.id, phoneNumberId)
    await laneGates.setPaused(this.db, phoneNumberId, paused)
    if (!paused) this.bus.tell('lanes.due', {})
    return this.show(user, phoneNumberId)
  }

  /** Cancels everything that waits, scheduled or not; what is in flight goes on. Answers how many. */
  async purge(user: User, phoneNumberId: number): Promise<number> {
    await ownedNumber(this.db, user.id, phoneNumberId)
    for (let purged = 0; ;) {
      const waiting = await queue.listQueued(this.db, phoneNumberId, BATCH)
      if (waiting.length === 0) return purged
      purged += (await this.end(waiting, PURGED)).length
    }
  }

  /** Ends messages whose time to live is over; answers how many. */
  async expire(now?: Date): Promise<number> {
    for (let expired = 0; ;) {
      const waiting = await queue.listExpired(this.db, BATCH, now)
      if (waiting.length > 0) expired += (await this.end(waiting, EXPIRED)).length
      if (waiting.length < BATCH) return expired
    }
  }

  /** Lets scheduled messages whose time has come into their lanes; answers how many. */
  async releaseScheduled(now?: Date): Promise<number> {
    for (let released = 0; ;) {
      const due = await queue.listScheduledDue(this.db, BATCH, now)
      if (due.length > 0) released += await this.release(due, now)
      if (due.length < BATCH) return released
    }
  }

  private async release(due: { id: number; phone_number_id: number }[], now?: Date): Promise<number> {
    const numbers = distinct(due.map((message) => message.phone_number_id))
    const ids = due.map((message) => message.id)
    const released = await this.db.transaction(async (tx) => {
      await lanes.lock(tx, numbers)
      await lanes.makeDue(tx, numbers)
      return queue.releaseScheduled(tx, ids, now)
    })
    this.bus.tell('lanes.due', {})
    return released
  }

  async end(waiting: queue.Waiting[], end: End): Promise<Changed[]> {
    const ended = await this.db.transaction((tx) => endWaiting(tx, waiting, end))
    for (const { id } of ended) this.bus.tell('message.changed', { id })
    return ended
  }
}

/** Cancels or expires what still waits and gives the quota back. Usage is locked first, lanes second, as everywhere. */
export async function endWaiting(tx: Queryable, waiting: queue.Waiting[], end: End): Promise<Changed[]> {
  await usage.lockOf(
    tx,
    waiting.map((message) => message.id),
  )
  await lanes.lock(tx, distinct(waiting.map((message) => message.phone_number_id)))
  const ended = await queue.endQueued(
    tx,
    waiting.map((message) => message.id),
    end,
  )
  const charged = ended.filter((message) => message.quota_day !== null)
  await usage.refund(
    tx,
    charged.map((message) => ({ user_id: message.user_id, day: message.quota_day! })),
  )
  // What is canceled by itself or has expired may be sent again by hand.
  if (end.code === 'purged' || end.code === 'phone_number_deleted')
    await media.remove(
      tx,
      ended.map((message) => message.id),
    )
  await events.record(tx, ended.map(statusEvent))
  return ended
}

const distinct = (ids: number[]) => [...new Set(ids)]
