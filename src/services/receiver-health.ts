import type { Bus } from '../cache/bus.js'
import type { Database, Queryable } from '../db/database.js'
import type { DueDelivery } from '../db/deliveries.js'
import * as events from '../db/events.js'
import * as receiverHealth from '../db/receiver-health.js'
import * as webhooks from '../db/webhooks.js'
import type { Logger } from '../logger.js'
import { type Health, afterAttempt, hasFailedTooLong, isHopeless } from '../webhooks/breaker.js'
import type { Judgement } from '../webhooks/judge.js'
import { retryAfterMs } from '../webhooks/retry-schedule.js'
import { publicEvent } from './public-events.js'

export interface Tried {
  delivery: DueDelivery
  verdict: Judgement
  due_at: Date | null
}

export interface Reckoned {
  may_go_on: boolean
}

interface Hopeless {
  id: number
  user_id: number
  /** Where it was tried. */
  url: string
  gone: boolean
}

/** The queues whose health these attempts may change. */
export function lockTroubled(tx: Queryable, tried: Tried[]): Promise<receiverHealth.ReceiverHealth[]> {
  const failed = tried.filter(({ verdict }) => verdict.verdict !== 'delivered')
  const idsOf = (some: Tried[]) => [...new Set(some.map(({ delivery }) => delivery.target.webhook_id))]
  return receiverHealth.lockTroubled(tx, idsOf(tried), idsOf(failed))
}

/**
 * What the attempts mean for their receivers: failures in a row open the breaker, a success closes it. Answers which
 * webhooks must not be tried now, and which have no hope left.
 */
export async function reckon(tx: Queryable, tried: Tried[], locked: receiverHealth.ReceiverHealth[], now: Date) {
  // Asked for under the locks: what an old address says does not count for the new one.
  const urls = await webhooks.listUrls(
    tx,
    locked.map(({ webhook_id }) => webhook_id),
  )
  const counting = tried.filter(({ delivery: { target } }) => urls.get(target.webhook_id) === target.url)
  const concerned = new Set(counting.map(({ delivery }) => delivery.target.webhook_id))
  const troubled = locked.filter(({ webhook_id }) => concerned.has(webhook_id))
  const shut = new Set<number>()
  const hopeless: Hopeless[] = []
  const changed = troubled.map((queue) => {
    const own = counting.filter(({ delivery }) => delivery.target.webhook_id === queue.webhook_id)
    const health = own.reduce<Health>((before, one) => afterAttempt(before, asTried(one, now)), queue)
    const { user_id, url } = own[0]!.delivery.target
    const gone = own.some(({ verdict }) => verdict.verdict === 'gone')
    if (gone || isHopeless(health, triesOf(own), now)) hopeless.push({ id: queue.webhook_id, user_id, url, gone })
    if (gone || health.open_until !== null) shut.add(queue.webhook_id)
    return { webhook_id: queue.webhook_id, ...health, look_at: nextLook(own, health, now) }
  })
  await receiverHealth.saveHealth(tx, changed)
  return { shut, hopeless }
}

/** Of the one that was tried most, in its present schedule. */
const triesOf = (own: Tried[]) => Math.max(...own.map(({ delivery }) => delivery.attempts + 1 - delivery.attempts_from))

function asTried({ delivery, verdict }: Tried, now: Date) {
  return {
    delivery_id: delivery.id,
    first: delivery.attempts === delivery.attempts_from,
    ok: verdict.verdict === 'delivered',
    probe: delivery.probe,
    at: now,
    retry_after_ms: verdict.verdict === 'retry' ? retryAfterMs(verdict.retry_after, now) : 0,
  }
}

/** A receiver that is well again gets its backlog at once; else the earliest of the new retries. */
function nextLook(own: Tried[], health: Health, now: Date): Date | null {
  if (health.failing_since === null) return now
  const retries = own.flatMap(({ due_at }) => (due_at ? [due_at.getTime()] : []))
  return retries.length > 0 ? new Date(Math.min(...retries)) : null
}

const ADVICE = {
  gone: 'The receiver answered 410 Gone. Correct the URL and enable the webhook again: PATCH /api/webhooks/{id}.',
  failing: 'No delivery succeeded for five days. Repair the receiver and enable the webhook: PATCH /api/webhooks/{id}.',
}

/**
 * Disables a webhook and tells its owner through the others and the feed. In a transaction of its own, because the feed
 * is locked before the webhook everywhere; should we die before it, the next failure leads here again.
 */
export async function disableHopeless(
  db: Database,
  bus: Bus,
  log: Logger,
  { id, user_id, url: tried_url, gone }: Hopeless,
  now: Date,
): Promise<void> {
  const reason = gone ? 'gone' : 'failing'
  const disabled = await db.transaction(async (tx) => {
    await events.lockFeed(tx, user_id)
    const webhook = await webhooks.lockOwned(tx, user_id, id)
    // What the old address says of itself does not count for the new one.
    if (!webhook?.enabled || webhook.url !== tried_url) return false
    if (!gone && !hasFailedTooLong(webhook, now)) return false
    await webhooks.disable(tx, id, reason, now)
    const { phone_number_id, url, failing_since } = webhook
    const data = { webhook: { id, phone_number_id, url }, reason, failing_since, advice: ADVICE[reason] }
    await events.record(tx, [publicEvent('webhook.disabled', { user_id }, data, now)])
    return true
  })
  if (!disabled) return
  log.warn({ webhook_id: id, reason }, 'a webhook was disabled')
  bus.tell('deliveries.due', {})
}
