import type { Bus } from '../cache/bus.js'
import type { Database, Queryable } from '../db/database.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import type { Secrets } from '../db/webhook-queues.js'
import * as webhooks from '../db/webhooks.js'
import type { Webhook } from '../db/webhooks.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import { headersProblem, mergeHeaders } from '../webhooks/custom-headers.js'
import { isSecret, newSecret } from '../webhooks/sign.js'
import { type TargetGuard, TargetRefused } from '../webhooks/target-guard.js'
import type { Clock } from './clock.js'
import { DEFAULT_EVENT_TYPES, refuseUnknownTypes } from './public-events.js'

const MAX_WEBHOOKS = 100
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

/** The webhook, and the only sight of its secret. */
interface Created {
  webhook: Webhook
  secret: string
}

/** The URLs that want a user's events. */
export class WebhookService {
  constructor(
    private readonly db: Database,
    private readonly guard: TargetGuard,
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  async create(user: User, input: NewWebhookInput): Promise<Created> {
    return (await this.insert(user, input))!
  }

  /** For a phone number without webhooks; undefined when it has one already. */
  createFirst(user: User, input: { url: string; phone_number_id: number }): Promise<Created | undefined> {
    return this.insert(user, input, { only_first: true })
  }

  private async insert(user: User, input: NewWebhookInput, { only_first = false } = {}): Promise<Created | undefined> {
    const { phone_number_id = null, description = null, enabled = true } = input
    const url = await acceptedUrl(this.guard, input.url, 'url')
    const event_types = checkTypes(input.event_types ?? [...DEFAULT_EVENT_TYPES])
    const headers = checkHeaders(mergeHeaders({}, input.headers ?? {}))
    const secret = checkSecret(input.secret) ?? newSecret()
    const webhook = await this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, user.id))) throw notFound('user')
      // Locked, so that it is not deleted meanwhile: the deletion would not see this webhook.
      const isOwned = phone_number_id === null || (await phoneNumbers.findOwned(tx, user.id, phone_number_id))
      if (!isOwned || (phone_number_id !== null && !(await phoneNumbers.lock(tx, phone_number_id))))
        throw notFound('phone number')
      if (only_first && (await webhooks.listOwned(tx, user.id, { limit: 1, phone_number_id })).length > 0) return
      await refuseTooMany(tx, user.id)
      const row = { user_id: user.id, phone_number_id, url, secret, event_types, description, headers, enabled }
      return webhooks.findOwned(tx, user.id, await webhooks.insert(tx, row))
    })
    return webhook && { webhook, secret }
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
      const headers = checkHeaders(mergeHeaders(before.headers, input.headers ?? {}))
      const { description = before.description, enabled = before.enabled } = input
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
      const webhook = await webhooks.lockOwned(tx, user.id, id)
      if (!webhook) throw notFound('webhook')
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
      const before = await webhooks.lockOwned(tx, user.id, id)
      if (!before) throw notFound('webhook')
      await work(tx, before)
      return webhooks.findOwned(tx, user.id, id)
    })
    // What a worker has in hand for it would still go to the old address, or with the old secret.
    this.bus.tell('webhook.changed', { id })
    return webhook!
  }
}

/** The URL as it is kept; refused in the words of the guard, under the name the field has in the call. */
export async function acceptedUrl(guard: TargetGuard, text: string, field: 'url' | 'webhook_url'): Promise<string> {
  try {
    return (await guard.checkUrl(text)).href
  } catch (err) {
    if (!(err instanceof TargetRefused)) throw err
    throw invalidRequest(err.message, [{ path: field, message: err.message }])
  }
}

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

function checkTypes(types: string[]): string[] {
  const all = types.includes('*')
  refuseUnknownTypes(
    types.filter((type) => type !== '*'),
    'Use "*" for all, or some of',
  )
  return all ? ['*'] : [...new Set(types)]
}

function checkHeaders(headers: Record<string, string>): Record<string, string> {
  const problem = headersProblem(headers)
  if (problem) throw invalidRequest(`headers: ${problem}.`, [{ path: 'headers', message: problem }])
  return headers
}

function checkSecret(secret: string | undefined): string | undefined {
  if (secret === undefined || isSecret(secret)) return secret
  const message = 'must be whsec_ followed by 24 to 64 bytes in base64; leave it out to have one made'
  throw invalidRequest(`secret: ${message}.`, [{ path: 'secret', message }])
}

/** Under the user's lock. */
export async function refuseTooMany(tx: Queryable, userId: number): Promise<void> {
  if ((await webhooks.countOwned(tx, userId)) >= MAX_WEBHOOKS) throw tooMany()
}

const tooMany = () =>
  new AppError('conflict', `There are ${MAX_WEBHOOKS} webhooks already, the most a user may have. Delete one first.`)
