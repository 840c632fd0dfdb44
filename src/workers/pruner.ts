import { setTimeout as pause } from 'node:timers/promises'
import * as apiRequests from '../db/api-requests.js'
import * as contactChecks from '../db/contact-checks.js'
import { BEGIN_IN_PARTS, type Database } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import * as events from '../db/events.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import * as ingress from '../db/ingress.js'
import * as retention from '../db/retention.js'
import * as webhookLogs from '../db/webhook-logs.js'

/** Small enough that each statement takes milliseconds and nobody waits for its locks. */
const BATCH = 1_000
/** Between batches, so that a long clean-up leaves the database to others. */
const BREATH_MS = 20
/** Evolution repeats an event for hours at most. */
const INGRESS_KEY_DAYS = 7
const EARLY_RECEIPT_HOURS = 24

interface Retention {
  request_log_days: number
  event_days: number
  webhook_log_days: number
  /** 0: for ever, as below. */
  message_body_days: number
  message_days: number
  media_days: number
}

/** Deletes what is past its time, in small batches. */
export class Pruner {
  constructor(
    private readonly db: Database,
    private readonly keep: Retention,
  ) {}

  /** Whatever becomes of one kind, the others are pruned. */
  async runOnce(now: Date | null = null): Promise<void> {
    const failures: unknown[] = []
    for (const prune of this.kinds(now)) await prune().catch((err: unknown) => failures.push(err))
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} kinds could not be pruned`)
  }

  private kinds(now: Date | null): (() => Promise<void>)[] {
    const { db, keep } = this
    const few = (prune: () => Promise<number>) => () => this.untilFew(prune)
    const old = (prune: (at: number) => Promise<number | undefined>) => () => this.toTheYoung(prune)
    const always = [
      few(() => apiRequests.prune(db, keep.request_log_days, BATCH, now)),
      few(() => ingress.pruneKeys(db, INGRESS_KEY_DAYS, BATCH, now)),
      few(() => ingress.pruneUnprocessed(db, keep.event_days, BATCH, now)),
      few(() => earlyReceipts.prune(db, EARLY_RECEIPT_HOURS, BATCH, now)),
      few(() => contactChecks.prune(db, BATCH, now)),
      few(() => idempotencyKeys.prune(db, BATCH, now)),
      old((at) => db.transaction((tx) => events.prune(tx, at, keep.event_days, BATCH, now), BEGIN_IN_PARTS)),
      few(() => db.transaction((tx) => webhookLogs.prune(tx, keep.webhook_log_days, BATCH, now), BEGIN_IN_PARTS)),
      old((at) => retention.deleteMedia(db, at, { days: keep.media_days, batch: BATCH, now })),
    ]
    const bodies = () => this.emptyBodies(now)
    const messages = old((at) => retention.deleteMessages(db, at, { days: keep.message_days, batch: BATCH, now }))
    return [...always, ...(keep.message_body_days > 0 ? [bodies] : []), ...(keep.message_days > 0 ? [messages] : [])]
  }

  private async untilFew(prune: () => Promise<number>): Promise<void> {
    while ((await prune()) === BATCH) await pause(BREATH_MS)
  }

  /** Goes past what has to stay, up to the first row that is young enough. */
  private async toTheYoung(prune: (at: number) => Promise<number | undefined>): Promise<void> {
    for (let at: number | undefined = 0; at !== undefined; await pause(BREATH_MS)) at = await prune(at)
  }

  /** Remembers how far it came: emptied messages stay, and would be looked at again each time. */
  private async emptyBodies(now: Date | null): Promise<void> {
    await this.untilFew(() => retention.emptyLeftOver(this.db, BATCH))
    let at = await retention.findMark(this.db, 'message-bodies')
    for (let full = true; full; await pause(BREATH_MS)) {
      const age = { days: this.keep.message_body_days, batch: BATCH, now }
      const stretch = await retention.emptyBodies(this.db, at, age)
      at = stretch.last
      full = stretch.full
      await retention.saveMark(this.db, 'message-bodies', at)
    }
  }
}
