import type { WebhookAnswer, WebhookHttp } from '../clients/webhook-http.js'
import type { Database } from '../db/database.js'
import * as deliveries from '../db/deliveries.js'
import type { DueDelivery } from '../db/deliveries.js'
import { GroupCommit } from '../db/group-commit.js'
import * as webhookLogs from '../db/webhook-logs.js'
import type { Logger } from '../logger.js'
import { judge } from '../webhooks/judge.js'
import { nextAttemptAt } from '../webhooks/retry-schedule.js'
import { signatureHeaders } from '../webhooks/sign.js'

/** Longer than the slowest attempt (15 s) and the commit of its outcome. */
const LEASE_SECONDS = 60

interface Finished {
  delivery: DueDelivery
  answer: WebhookAnswer
  sent_at: Date
}

/** Tells webhooks what happened: claim, sign, post, judge, record, settle. */
export class DeliveryService {
  private readonly settling: GroupCommit<Finished, void>

  constructor(
    private readonly db: Database,
    private readonly http: WebhookHttp,
    private readonly log: Logger,
  ) {
    this.settling = new GroupCommit((finished) => this.settle(finished))
  }

  /** Leases up to `limit` deliveries, a few per webhook; those in `busy` get no more now. */
  claim(limit: number, perWebhook: number, busy: number[]): Promise<DueDelivery[]> {
    return deliveries.claimDue(this.db, { limit, perWebhook, leaseSeconds: LEASE_SECONDS, busy })
  }

  async attempt(delivery: DueDelivery): Promise<void> {
    const sent_at = new Date()
    const { event_id, payload, secret, url } = delivery
    const headers = signatureHeaders({ id: event_id, timestamp: sent_at, body: payload, secrets: [secret] })
    const answer = await this.http.post(url, { ...headers }, payload)
    await this.settling.add({ delivery, answer, sent_at })
  }

  /** The attempt and its consequence in one commit; an outcome that lost its lease is only logged as an attempt. */
  private async settle(finished: Finished[]): Promise<void[]> {
    const outcomes = finished.map((one) => this.consequenceOf(one))
    await this.db.transaction(async (tx) => {
      await deliveries.settle(tx, outcomes)
      await webhookLogs.insert(tx, finished.map(logRow))
    })
    return finished.map(() => undefined)
  }

  private consequenceOf({ delivery, answer, sent_at }: Finished): deliveries.Outcome {
    const verdict = judge(answer)
    const { id, attempts: attempt, event_type, webhook_id } = delivery
    const error = verdict.verdict === 'delivered' ? undefined : verdict.error
    this.log.info({ delivery_id: id, webhook_id, event_type, attempt, error, duration_ms: answer.ms }, 'delivery')
    if (verdict.verdict === 'delivered') return { id, attempt, status: 'delivered', due_at: null }
    if (verdict.verdict === 'gone') return { id, attempt, status: 'failed', due_at: null }
    const due_at = nextAttemptAt(attempt, sent_at, { retry_after: verdict.retry_after })
    return due_at ? { id, attempt, status: 'pending', due_at } : { id, attempt, status: 'failed', due_at: null }
  }
}

function logRow({ delivery, answer, sent_at }: Finished): webhookLogs.Attempt {
  const verdict = judge(answer)
  return {
    delivery_id: delivery.id,
    attempt: delivery.attempts,
    phone_number_id: delivery.phone_number_id,
    event_id: delivery.event_id,
    event_type: delivery.event_type,
    status_code: answer.status ?? null,
    response_time_ms: answer.ms,
    error: verdict.verdict === 'delivered' ? null : verdict.error,
    response_body: answer.body ?? null,
    sent_at,
  }
}
