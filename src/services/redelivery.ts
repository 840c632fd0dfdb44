import type { Bus } from '../cache/bus.js'
import { BEGIN_BY_KEYS, type Database } from '../db/database.js'
import * as deliveries from '../db/delivery-lists.js'
import type { Delivery, DeliveryCursor, DeliveryFilter, DeliveryStatus } from '../db/delivery-lists.js'
import * as redelivery from '../db/redelivery.js'
import type { User } from '../db/users.js'
import * as webhookLogs from '../db/webhook-logs.js'
import * as webhookQueues from '../db/webhook-queues.js'
import * as webhooks from '../db/webhooks.js'
import { invalidRequest, notFound } from '../errors.js'
import type { Clock } from './clock.js'
import { refuseUnknownTypes } from './public-events.js'

/** What one call owes again at most: a longer range is repeated until it answers more: false. */
const MAX_REDELIVERED = 10_000
const MAX_ATTEMPTS_SHOWN = 100
const DAY_MS = 24 * 60 * 60 * 1000

export interface RangeInput {
  status: DeliveryStatus | 'missing'
  from?: Date
  to?: Date
  event_types?: string[]
  /** Where the call before it ended. */
  cursor?: DeliveryCursor | null
}

/** What was told to whom, and telling it again. */
export class RedeliveryService {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  async list(
    user: User,
    webhookId: number,
    filter: DeliveryFilter,
    page: { before?: DeliveryCursor; limit: number },
  ): Promise<Delivery[]> {
    checkRange(filter)
    refuseUnknownTypes(filter.event_types)
    if (!(await webhooks.findOwned(this.db, user.id, webhookId))) throw notFound('webhook')
    return this.db.transaction((tx) => deliveries.listOwned(tx, user.id, webhookId, filter, page), BEGIN_BY_KEYS)
  }

  /** With the body as it is sent, byte by byte, and its attempts. */
  async get(user: User, id: number) {
    const delivery = await this.db.transaction((tx) => deliveries.findOwned(tx, user.id, id), BEGIN_BY_KEYS)
    if (!delivery) throw notFound('delivery')
    return { delivery, attempts: await webhookLogs.listOfDelivery(this.db, id, MAX_ATTEMPTS_SHOWN) }
  }

  /** Due at once, with the same webhook-id; the schedule of retries begins again. */
  async redeliver(user: User, id: number): Promise<Delivery> {
    const now = this.clock.now()
    await this.db.transaction(async (tx) => {
      const delivery = await deliveries.findOwned(tx, user.id, id)
      // One after the other: two that met in the middle of it would lock each other out.
      const isThere = delivery && (await webhooks.lockOwned(tx, user.id, delivery.webhook_id))
      if (!isThere || !(await redelivery.redeliver(tx, id, now))) throw notFound('delivery')
      await webhookQueues.tryNow(tx, delivery.webhook_id, now)
    }, BEGIN_BY_KEYS)
    this.bus.tell('deliveries.due', {})
    return (await this.get(user, id)).delivery
  }

  /** Answers how many are due again, and where to go on when the range holds more than one call does. */
  async redeliverRange(user: User, webhookId: number, input: RangeInput) {
    refuseUnknownTypes(input.event_types)
    const now = this.clock.now()
    const { to = now, status, event_types, cursor } = input
    const begin = status === 'missing' ? undefined : BEGIN_BY_KEYS
    const done = await this.db.transaction(async (tx) => {
      const webhook = await webhooks.lockOwned(tx, user.id, webhookId)
      if (!webhook) throw notFound('webhook')
      const from = input.from ?? beginningOf(status, webhook, now)
      checkRange({ from, to })
      const range = { from, to, event_types, limit: MAX_REDELIVERED }
      const taken =
        status === 'missing'
          ? { redelivered: await redelivery.deliverMissing(tx, webhookId, now, range), last: undefined }
          : await redelivery.redeliverRange(tx, webhookId, now, { ...range, status, after: cursor })
      await webhookQueues.tryNow(tx, webhookId, now)
      return { ...taken, from }
    }, begin)
    this.bus.tell('deliveries.due', {})
    const { redelivered, last, from } = done
    const more = redelivered === MAX_REDELIVERED
    return { redelivered, more, last: more ? last : undefined, status, from, to }
  }
}

/** A day ago; what failed, after three days of trying, may be as old as the webhook. */
function beginningOf(status: RangeInput['status'], { created_at }: { created_at: Date }, now: Date): Date {
  const dayAgo = new Date(now.getTime() - DAY_MS)
  return (status === 'failed' || status === 'pending') && created_at < dayAgo ? created_at : dayAgo
}

function checkRange({ from, to }: { from?: Date; to?: Date }) {
  if (from && to && from > to)
    throw invalidRequest('from must not be after to.', [{ path: 'from', message: 'is after to' }])
}
