import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import * as gaps from '../db/gaps.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as laneGates from '../db/lane-gates.js'
import * as lanes from '../db/lanes.js'
import * as queue from '../db/message-queue.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as usage from '../db/usage.js'
import type { User } from '../db/users.js'
import * as webhooks from '../db/webhooks.js'
import { notFound } from '../errors.js'
import type { InstanceRemovals } from './instance-removals.js'
import { engineNameOf } from './engine-names.js'
import { NUMBER_DELETED, endWaiting } from './queue.js'

/** More than any queue holds: a deletion leaves nothing behind. */
const MAX_QUEUE = 10_000_000
/** A long queue is ended in parts before the deletion: in one, its events would fill the memory. */
const QUEUE_BATCH = 500

export class PhoneNumberService {
  constructor(
    private readonly db: Database,
    private readonly removals: InstanceRemovals,
    private readonly bus: Bus,
  ) {}

  list(user: User, page: phoneNumbers.ListPage): Promise<PhoneNumber[]> {
    return phoneNumbers.listOwned(this.db, user.id, page)
  }

  /** Gone for its owner at once; the engine's side follows until the engine says so itself. */
  async delete(user: Pick<User, 'id'>, id: number, { hurry = true } = {}): Promise<void> {
    await this.endLongQueue(user, id)
    const { phone, hooks } = await this.db.transaction(async (tx) => {
      await usage.lockAll(tx, [user.id])
      const owned = await phoneNumbers.findOwned(tx, user.id, id)
      const locked = owned && (await phoneNumbers.lock(tx, id))
      if (!locked) throw notFound('phone number')
      await lanes.lock(tx, [id])
      await laneGates.close(tx, id)
      await phoneNumbers.markDeleted(tx, id)
      await gaps.forget(tx, id)
      await events.lockFeed(tx, user.id)
      const deleted = await webhooks.deleteOfNumber(tx, id)
      await endWaiting(tx, await queue.listQueued(tx, id, MAX_QUEUE), NUMBER_DELETED)
      if (!locked.parked_at) await instanceRemovals.insert(tx, engineNameOf(locked), locked.server_instance)
      return { phone: locked, hooks: deleted }
    })
    for (const hook of hooks) this.bus.tell('webhook.changed', { id: hook })
    // Best effort for the hurried; the remover goes on until the engine answers 404.
    if (hurry && !phone.parked_at) await this.removals.hurry(engineNameOf(phone), phone.server_instance)
  }

  /** Until what is left can be ended together with the number. */
  private async endLongQueue(user: Pick<User, 'id'>, id: number): Promise<void> {
    if (!(await phoneNumbers.findOwned(this.db, user.id, id))) throw notFound('phone number')
    for (;;) {
      const waiting = await queue.listQueued(this.db, id, QUEUE_BATCH)
      if (waiting.length < QUEUE_BATCH) return
      await this.db.transaction((tx) => endWaiting(tx, waiting, NUMBER_DELETED))
    }
  }
}
