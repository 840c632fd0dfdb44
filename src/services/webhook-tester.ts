import { randomBytes } from 'node:crypto'
import type { WebhookHttp } from '../clients/webhook-http.js'
import type { Database } from '../db/database.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import * as webhooks from '../db/webhooks.js'
import { notFound } from '../errors.js'
import { judge } from '../webhooks/judge.js'
import { signatureHeaders } from '../webhooks/sign.js'
import type { Clock } from './clock.js'
import { secretsOf } from './deliveries.js'
import { sampleData } from './event-samples.js'
import { type EventType, publicEvent } from './public-events.js'
import { Shares } from './shares.js'

/** Tests at the same time: they hold a request each, for up to 15 s. */
const MAX_TESTS = { all: 16, per_user: 2, waiting_per_user: 8 }
/** For a user without numbers: no number has this id. */
const SAMPLE_NUMBER = { id: 0, display_name: 'Support', phone_number: '6281234567890', metadata: {} }

const ABOUT_THE_USER = new Set<EventType>(['usage.threshold', 'plan.expiring', 'plan.expired', 'webhook.disabled'])

/** Sends a signed sample and shows what the receiver says; nothing is stored and nothing is retried. */
export class WebhookTester {
  private readonly tests = new Shares(MAX_TESTS)

  constructor(
    private readonly db: Database,
    private readonly http: WebhookHttp,
    private readonly clock: Clock,
  ) {}

  async test(user: User, id: number, type: EventType) {
    const webhook = await webhooks.findOwned(this.db, user.id, id)
    if (!webhook) throw notFound('webhook')
    const now = this.clock.now()
    const secrets = secretsOf(await webhooks.findSecrets(this.db, id), now)
    const webhookId = `evt_test_${randomBytes(12).toString('base64url')}`
    const body = await this.sampleBody(user, webhook.phone_number_id, type, webhookId, now)
    const signature = signatureHeaders({ id: webhookId, timestamp: now, body, secrets })
    const answer = await this.tests.run(user.id, () => this.http.post(webhook, signature, body))
    const verdict = judge(answer)
    return {
      delivered: verdict.verdict === 'delivered',
      event_type: type,
      status_code: answer.status ?? null,
      response_time_ms: answer.ms,
      response_body: answer.body ?? null,
      error: verdict.verdict === 'delivered' ? null : verdict.error,
      body,
    }
  }

  /** Like the real thing, with `test: true`, position 0 and the id that is in the headers. */
  private async sampleBody(user: User, phoneId: number | null, type: EventType, id: string, at: Date): Promise<string> {
    const number = (await this.numberOf(user, phoneId)) ?? { ...SAMPLE_NUMBER, user_id: user.id }
    const subject = ABOUT_THE_USER.has(type) ? { user_id: user.id } : number
    const sample = JSON.parse(publicEvent(type, subject, sampleData(type), at).payload.join('0')) as Sample
    const { message } = sample.data
    if (message && 'phone_number_id' in message) message.phone_number_id = number.id
    return JSON.stringify({ ...sample, id, test: true })
  }

  /** One of the user's own, where the webhook is for all of them. */
  private async numberOf(user: User, id: number | null): Promise<PhoneNumber | undefined> {
    if (id !== null) return phoneNumbers.findOwned(this.db, user.id, id)
    return (await phoneNumbers.listOwned(this.db, user.id, { limit: 1 }))[0]
  }
}

interface Sample {
  data: { message?: Record<string, unknown> }
}
