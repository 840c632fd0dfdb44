import type { Bus } from '../cache/bus.js'
import { BEGIN_BY_KEYS, type Database, type Queryable } from '../db/database.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import type { Secrets } from '../db/webhook-queues.js'
import * as webhooks from '../db/webhooks.js'
import type { Webhook } from '../db/webhooks.js'
import { notFound } from '../errors.js'
import { mergeHeaders } from '../webhooks/custom-headers.js'
import { newSecret } from '../webhooks/sign.js'
import type { TargetGuard } from '../webhooks/target-guard.js'
import type { Clock } from './clock.js'
import { type Idempotency, namedBy, recall, remember } from './idempotency.js'
import { DEFAULT_EVENT_TYPES } from './public-events.js'
import { acceptedUrl, changedHeaders, checkHeaders, checkSecret, checkTypes, refuseTooMany } from './webhook-checks.js'

/** Both secrets sign for so long after a rotation. */
const OVERLAP_MS = 24 * 60 * 60 * 1000
/** More rotations within that time end the oldest secrets: each signature makes every post longer. */
const MAX_OLDER_SECRETS = 4
/** A longer backlog is told as "more than". */
const COUNTED = 10_000

export interface WebhookInput {
  url?: string
  description?: string | null
  event_types?: string[]
  headers?: Record<string, string | null>
  enabled?: boolean
}

export type NewWebhookInput = WebhookInput & { url: string; phone_number_id?: number | null; secret?: string }

interface Created {
  webhook: Webhook
  /** Shown this once. */
  secret?: string
}

/** The URLs that want a user's events. */
export class WebhookService {
  constructor(
    private readonly db: Database,
    private readonly guard: TargetGuard,
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  /** A call that repeats its `key` gets the webhook of the first one, without its secret. */
  async create(user: User, input: NewWebhookInput, key?: string): Promise<Created> {
    const idempotency = namedBy(key, 'create a webhook', input)
    const row = await this.rowOf(user, input)
    return this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, user.id))) throw notFound('user')
      const earlier = idempotency && (await findEarlier(tx, user.id, idempotency))
      if (earlier) return { webhook: earlier }
      const created = await insert(tx, row)
      if (idempotency) await remember(tx, user.id, idempotency, { webhook_id: created.webhook.id })
      return created
    })
  }

  /** For a phone number without webhooks; undefined when it has one already. */
  async createFirst(user: User, input: { url: string; phone_number_id: number }): Promise<Created | undefined> {
    const row = await this.rowOf(user, input)
    const { phone_number_id } = input
    return this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, user.id))) throw notFound('user')
      const has = await webhooks.listOwned(tx, user.id, { limit: 1, phone_number_id })
      return has.length > 0 ? undefined : insert(tx, row)
    })
  }

  private async rowOf(user: User, input: NewWebhookInput): Promise<webhooks.NewWebhook> {
    const { phone_number_id = null, description = null, enabled = true } = input
    return {
      user_id: user.id,
      phone_number_id,
      url: await acceptedUrl(this.guard, input.url, 'url'),
      secret: checkSecret(input.secret) ?? newSecret(),
      event_types: checkTypes(input.event_types ?? [...DEFAULT_EVENT_TYPES]),
      description,
      headers: checkHeaders(mergeHeaders({}, input.headers ?? {})),
      enabled,
    }
  }

  list(user: User, page: { before?: number; limit: number; phone_number_id?: number }): Promise<Webhook[]> {
    return webhooks.listOwned(this.db, user.id, page)
  }

  async get(user: User, id: number): Promise<{ webhook: Webhook; pending: number }> {
    const webhook = await webhooks.findOwned(this.db, user.id, id)
    if (!webhook) throw notFound('webhook')
    return { webhook, pending: await webhooks.countPending(this.db, id, COUNTED) }
  }

  /** Enabling, also of one that is paused, and a new address begin again as if nothing had failed. */
  async update(user: User, id: number, input: WebhookInput): Promise<Webhook> {
    const url = input.url === undefined ? undefined : await acceptedUrl(this.guard, input.url, 'url')
    const event_types = input.event_types && checkTypes(input.event_types)
    const webhook = await this.change(user, id, async (tx, before) => {
      const { description = before.description, enabled = before.enabled } = input
      const headers = changedHeaders(before, url ?? before.url, input.headers ?? {})
      const change = { url: url ?? before.url, description, event_types: event_types ?? before.event_types, headers }
      await webhooks.update(tx, before, change)
      const isNews = !before.enabled || change.url !== before.url || (input.enabled && before.failing_since !== null)
      if (enabled && isNews) await webhooks.enable(tx, id, this.clock.now())
      if (!enabled && before.enabled) await webhooks.disable(tx, id, 'user', this.clock.now())
    })
    this.bus.tell('deliveries.due', {})
    return webhook
  }

  /** Its deliveries go with it. */
  async delete(user: User, id: number): Promise<void> {
    await this.db.transaction(async (tx) => {
      const webhook = await lockWithNumber(tx, user, id)
      await webhooks.markDeleted(tx, webhook)
    })
    this.bus.tell('webhook.changed', { id })
  }

  /** The new secret, shown once; for 24 hours the old one signs too, and so do those before it until their day is over. */
  async rotateSecret(user: User, id: number, given?: string): Promise<{ webhook: Webhook; secret: string }> {
    const secret = checkSecret(given) ?? newSecret()
    const webhook = await this.change(user, id, async (tx) => {
      const before = await webhooks.findSecrets(tx, id)
      // The same call again, since its answer was lost: nothing changes.
      if (before.secret !== secret) await webhooks.saveSecrets(tx, id, rotated(before, secret, this.clock.now()))
    })
    return { webhook, secret }
  }

  private async change(user: User, id: number, work: (tx: Queryable, before: Webhook) => Promise<void>) {
    const webhook = await this.db.transaction(async (tx) => {
      const before = await lockWithNumber(tx, user, id)
      await work(tx, before)
      return webhooks.findOwned(tx, user.id, id)
    }, BEGIN_BY_KEYS)
    // What a worker has in hand for it would still go to the old address, or with the old secret.
    this.bus.tell('webhook.changed', { id })
    return webhook!
  }
}

/** Its number first, whose row shows the URL: whoever deletes a number has that before the webhooks. */
async function lockWithNumber(tx: Queryable, user: User, id: number): Promise<Webhook> {
  const { phone_number_id } = (await webhooks.findOwned(tx, user.id, id)) ?? { phone_number_id: null }
  if (phone_number_id !== null) await phoneNumbers.lock(tx, phone_number_id)
  const webhook = await webhooks.lockOwned(tx, user.id, id)
  if (!webhook) throw notFound('webhook')
  return webhook
}

/** Under the user's lock. */
async function insert(tx: Queryable, row: webhooks.NewWebhook): Promise<Created> {
  const { user_id, phone_number_id, secret } = row
  // Locked, so that it is not deleted meanwhile: the deletion would not see this webhook.
  const isOwned = phone_number_id === null || (await phoneNumbers.findOwned(tx, user_id, phone_number_id))
  if (!isOwned || (phone_number_id !== null && !(await phoneNumbers.lock(tx, phone_number_id))))
    throw notFound('phone number')
  await refuseTooMany(tx, user_id)
  const id = await webhooks.insert(tx, row)
  return { webhook: (await webhooks.findOwned(tx, user_id, id))!, secret }
}

const findEarlier = (tx: Queryable, userId: number, idempotency: Idempotency): Promise<Webhook | undefined> =>
  recall(tx, userId, idempotency, 'webhook', (found) => webhooks.findOwned(tx, userId, found.webhook_id!))

function rotated(before: Secrets, secret: string, now: Date): Secrets {
  const { previous_secret, previous_secret_until } = before
  const previous =
    previous_secret && previous_secret_until
      ? [{ secret: previous_secret, until: previous_secret_until.toISOString() }]
      : []
  const older_secrets = [...previous, ...before.older_secrets]
    .filter((one) => one.secret !== secret && new Date(one.until) > now)
    .slice(0, MAX_OLDER_SECRETS)
  const until = new Date(now.getTime() + OVERLAP_MS)
  return { secret, previous_secret: before.secret, previous_secret_until: until, older_secrets }
}
