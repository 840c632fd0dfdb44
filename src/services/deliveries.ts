import { randomUUID } from 'node:crypto'
import type { Bus } from '../cache/bus.js'
import type { WebhookHttp } from '../clients/webhook-http.js'
import type { WebhookAnswer } from '../clients/webhook-post.js'
import { BEGIN_BY_KEYS, type Database } from '../db/database.js'
import * as deliveries from '../db/deliveries.js'
import type { DueDelivery } from '../db/deliveries.js'
import * as deliveryOutcomes from '../db/delivery-outcomes.js'
import { GroupCommit } from '../db/group-commit.js'
import * as webhookLogs from '../db/webhook-logs.js'
import * as webhookQueues from '../db/webhook-queues.js'
import type { Secrets } from '../db/webhook-queues.js'
import type { Logger } from '../logger.js'
import { type Judgement, judge } from '../webhooks/judge.js'
import { nextAttemptAt } from '../webhooks/retry-schedule.js'
import { signatureHeaders } from '../webhooks/sign.js'
import type { Clock } from './clock.js'
import { type Reckoned, disableHopeless, lockTroubled, reckon } from './receiver-health.js'

/** Longer than the slowest attempt (15 s) and the commit of its outcome. */
const LEASE_SECONDS = 45
/** More than a worker has in hand: what has finished goes into one commit, whose costs are mostly those of any commit. */
const SETTLED_AT_ONCE = 4_096
/**
 * Entries of queues that are due no more die in their index, and a bitmap scan would read them all again each time.
 * A claim does not wait for the disk: should PostgreSQL die before it is there, the hold of some queues is lost, and
 * deliveries that were in flight at that moment are made again (docs/adr/0009).
 */
export const BEGIN_CLAIM = `${BEGIN_BY_KEYS}; set local enable_bitmapscan = off; set local synchronous_commit = off`

export interface Finished {
  delivery: DueDelivery
  answer: WebhookAnswer
  verdict: Judgement
  sent_at: Date
}

/** Tells webhooks what happened: claim, sign, post, judge, record, settle. */
export class DeliveryService {
  /** Queues are held by a worker, not by a process, so that two of them in one test are two. */
  private readonly holder = randomUUID()
  private readonly settling: GroupCommit<Finished, Reckoned>
  private readonly releasing: GroupCommit<DueDelivery, void>

  constructor(
    private readonly db: Database,
    private readonly http: WebhookHttp,
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.settling = new GroupCommit((finished) => this.settle(finished), { max_rows: SETTLED_AT_ONCE })
    this.releasing = new GroupCommit((unused) => this.giveBack(unused))
  }

  /** Takes deliveries that are not in hand, within the limits and a few per webhook; those in `busy` get no more now. */
  claim(
    limits: deliveries.ClaimLimits,
    busy: { webhooks: number[]; users: number[] },
    inHandOf: (webhookId: number) => deliveries.InHand[],
  ): Promise<deliveries.Claim> {
    const scope = {
      holder: this.holder,
      now: this.clock.now(),
      lease_seconds: LEASE_SECONDS,
      busy_webhooks: busy.webhooks,
      busy_users: busy.users,
    }
    return this.db.transaction((tx) => deliveries.claimDue(tx, scope, limits, inHandOf), BEGIN_CLAIM)
  }

  /** Signs and posts; an answer that is `aborted` says nothing about the receiver. */
  async attempt(delivery: DueDelivery): Promise<Finished> {
    const sent_at = this.clock.now()
    const { event_id, payload, target } = delivery
    const signature = signatureHeaders({
      id: event_id,
      timestamp: sent_at,
      body: payload,
      secrets: secretsOf(target, sent_at),
    })
    const answer = await this.http.post(target, signature, payload)
    return { delivery, answer, verdict: judge(answer), sent_at }
  }

  /** Records the attempt and its consequence; answers whether the webhook may get more of what was claimed for it. */
  record(finished: Finished): Promise<Reckoned> {
    return this.settling.add(finished)
  }

  /** Gives a delivery back untried: in its place, and no attempt is spent. */
  release(delivery: DueDelivery): Promise<void> {
    return this.releasing.add(delivery)
  }

  /** Breaks off every attempt that still goes on; there can be no more. */
  breakOff(): void {
    this.http.breakOff()
  }

  /** Lets other workers take over at once. */
  async leave(): Promise<void> {
    await webhookQueues.releaseHolder(this.db, this.holder)
  }

  /** Attempt, outcome and the receiver's health in one commit; an outcome that lost its lease is only logged. */
  private async settle(finished: Finished[]): Promise<Reckoned[]> {
    const now = this.clock.now()
    const outcomes = finished.map((one) => this.outcomeOf(one))
    const reckoned = await this.db.transaction(async (tx) => {
      const tried = finished.map(({ delivery, verdict }, i) => ({ delivery, verdict, due_at: outcomes[i]!.due_at }))
      const [late, troubled] = await Promise.all([
        deliveryOutcomes.settle(tx, this.holder, now, outcomes),
        lockTroubled(tx, tried),
      ])
      if (late.size > 0) await webhookLogs.insert(tx, [...late])
      // Only what still held its lease says something about its receiver now.
      const counting = tried.filter((_, i) => !late.has(outcomes[i]!))
      return reckon(tx, counting, troubled, now)
    }, BEGIN_BY_KEYS)
    for (const webhook of reckoned.hopeless) await disableHopeless(this.db, this.bus, this.log, webhook, now)
    return finished.map(({ delivery }) => ({ may_go_on: !reckoned.shut.has(delivery.target.webhook_id) }))
  }

  private outcomeOf(finished: Finished): deliveryOutcomes.Outcome {
    const { delivery, answer, verdict, sent_at } = finished
    const { status, due_at } = consequenceOf(finished)
    this.report(finished)
    return {
      delivery_id: delivery.id,
      version: delivery.version,
      status,
      due_at,
      attempt: delivery.attempts + 1,
      event_id: delivery.event_id,
      event_type: delivery.event_type,
      status_code: answer.status ?? null,
      response_time_ms: answer.ms,
      error: errorOf(verdict),
      response_body: answer.body ?? null,
      sent_at,
    }
  }

  private report({ delivery, answer, verdict }: Finished) {
    const { id, event_type, attempts, target } = delivery
    const error = errorOf(verdict)
    const level = error === null ? 'debug' : 'info' // every attempt has a row that tells the same
    if (!this.log.isLevelEnabled(level)) return
    this.log[level](
      {
        delivery_id: id,
        webhook_id: target.webhook_id,
        event_type,
        attempt: attempts + 1,
        error,
        duration_ms: answer.ms,
      },
      'delivery',
    )
  }

  private async giveBack(unused: DueDelivery[]): Promise<void[]> {
    await this.db.transaction((tx) => deliveries.release(tx, unused, this.clock.now()))
    return unused.map(() => undefined)
  }
}

/** During a rotation the old secret signs as well, and those before it that were rotated within the same time. */
export function secretsOf(webhook: Secrets, now: Date): string[] {
  const { secret, previous_secret, previous_secret_until, older_secrets } = webhook
  const overlaps = previous_secret !== null && previous_secret_until !== null && previous_secret_until > now
  if (!overlaps) return [secret]
  const older = older_secrets.filter(({ until }) => new Date(until) > now)
  return [secret, previous_secret, ...older.map((one) => one.secret)]
}

const errorOf = (verdict: Judgement) => (verdict.verdict === 'delivered' ? null : verdict.error)

function consequenceOf({ delivery, verdict, sent_at }: Finished): Pick<deliveryOutcomes.Outcome, 'status' | 'due_at'> {
  if (verdict.verdict === 'delivered') return { status: 'delivered', due_at: null }
  if (verdict.verdict === 'gone') return { status: 'failed', due_at: null }
  const tries = delivery.attempts + 1 - delivery.attempts_from
  const due_at = nextAttemptAt(tries, sent_at, { retry_after: verdict.retry_after }) ?? null
  return { status: due_at ? 'pending' : 'failed', due_at }
}
