import type { Queryable } from './database.js'
import * as redelivery from './redelivery.js'
import * as webhookQueues from './webhook-queues.js'
import type { Secrets } from './webhook-queues.js'

export type DisabledReason = 'user' | 'gone' | 'failing'

export interface Webhook {
  id: number
  user_id: number
  phone_number_id: number | null
  url: string
  description: string | null
  event_types: string[]
  headers: Record<string, string>
  enabled: boolean
  disabled_reason: DisabledReason | null
  disabled_at: Date | null
  previous_secret_until: Date | null
  created_at: Date
  updated_at: Date
  failures: number
  failing_since: Date | null
  open_until: Date | null
}

const columns = `w.id, w.user_id, w.phone_number_id, w.url, w.description, w.event_types, w.headers, w.enabled,
  w.disabled_reason, w.disabled_at, w.previous_secret_until, w.created_at, w.updated_at, q.failures, q.failing_since,
  q.open_until`

export interface NewWebhook {
  user_id: number
  phone_number_id: number | null
  url: string
  secret: string
  event_types: string[]
  description?: string | null
  headers?: Record<string, string>
  enabled?: boolean
}

/** Stores the webhook with its empty queue; as the number's first, it is copied to the number. */
export async function insert(tx: Queryable, webhook: NewWebhook): Promise<number> {
  const {
    user_id,
    phone_number_id,
    url,
    secret,
    event_types,
    description = null,
    headers = {},
    enabled = true,
  } = webhook
  const { rows } = await tx.query<{ id: number }>(
    `with created as (
       insert into webhooks (user_id, phone_number_id, url, secret, event_types, description, headers, enabled,
                             disabled_reason, disabled_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, case when not $8 then 'user' end, case when not $8 then now() end)
       returning id, user_id),
     queue as (insert into webhook_queues (webhook_id, user_id) select id, user_id from created)
     select id from created`,
    [user_id, phone_number_id, url, secret, event_types, description, headers, enabled],
  )
  await copyToNumber(tx, phone_number_id)
  return rows[0]!.id
}

export async function countOwned(tx: Queryable, userId: number): Promise<number> {
  const { rows } = await tx.query<{ n: number }>(
    'select count(*) as n from webhooks where user_id = $1 and deleted_at is null',
    [userId],
  )
  return rows[0]!.n
}

export async function findOwned(db: Queryable, userId: number, id: number): Promise<Webhook | undefined> {
  const { rows } = await db.query<Webhook>(
    `select ${columns} from webhooks w join webhook_queues q on q.webhook_id = w.id
      where w.user_id = $1 and w.id = $2 and w.deleted_at is null`,
    [userId, id],
  )
  return rows[0]
}

/** The webhook for a change of it: others who change it, or settle into disabling it, wait. */
export async function lockOwned(tx: Queryable, userId: number, id: number): Promise<Webhook | undefined> {
  await tx.query('select 1 from webhooks where user_id = $1 and id = $2 for no key update', [userId, id])
  return findOwned(tx, userId, id)
}

export async function listOwned(
  db: Queryable,
  userId: number,
  page: { before?: number; limit: number; phone_number_id?: number | null },
): Promise<Webhook[]> {
  const { rows } = await db.query<Webhook>(
    `select ${columns} from webhooks w join webhook_queues q on q.webhook_id = w.id
      where w.user_id = $1 and w.deleted_at is null and w.id < $2 and ($3::bigint is null or w.phone_number_id = $3)
      order by w.id desc limit $4`,
    [userId, page.before ?? Number.MAX_SAFE_INTEGER, page.phone_number_id ?? null, page.limit],
  )
  return rows
}

/** Where these post to now, by id. */
export async function listUrls(tx: Queryable, ids: number[]): Promise<Map<number, string>> {
  if (ids.length === 0) return new Map()
  const { rows } = await tx.query<{ id: number; url: string }>('select id, url from webhooks where id = any($1)', [ids])
  return new Map(rows.map(({ id, url }) => [id, url]))
}

export type WebhookChange = Pick<Webhook, 'url' | 'description' | 'event_types' | 'headers'>

export async function update(tx: Queryable, webhook: Webhook, change: WebhookChange): Promise<void> {
  await tx.query(
    `update webhooks set url = $2, description = $3, event_types = $4, headers = $5, updated_at = now() where id = $1`,
    [webhook.id, change.url, change.description, change.event_types, change.headers],
  )
  await copyToNumber(tx, webhook.phone_number_id)
}

/** Retries that are pulled forward at once; those of a longer backlog keep their time. */
const MAX_PULLED = 10_000

/** What it is owed is due at once, in its old order and with the whole schedule before it. */
export async function enable(tx: Queryable, id: number, now: Date): Promise<void> {
  await tx.query(
    `update webhooks set enabled = true, disabled_reason = null, disabled_at = null, updated_at = now() where id = $1`,
    [id],
  )
  await redelivery.beginAgain(tx, id, now, MAX_PULLED)
  await webhookQueues.reset(tx, id, now)
}

/** What it is owed stays pending, and is held. */
export async function disable(tx: Queryable, id: number, reason: DisabledReason, now: Date): Promise<void> {
  await tx.query(
    `update webhooks set enabled = false, disabled_reason = $2, disabled_at = $3, updated_at = now() where id = $1`,
    [id, reason, now],
  )
  await webhookQueues.reset(tx, id, null)
}

export async function markDeleted(tx: Queryable, webhook: Webhook): Promise<void> {
  await tx.query('update webhooks set deleted_at = now(), enabled = false where id = $1', [webhook.id])
  await copyToNumber(tx, webhook.phone_number_id)
  await webhookQueues.reset(tx, webhook.id, null)
}

/** Answers their ids. */
export async function deleteOfNumber(tx: Queryable, phoneNumberId: number): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>(
    `with gone as (
       update webhooks set deleted_at = now(), enabled = false
        where phone_number_id = $1 and deleted_at is null returning id)
     update webhook_queues set due_at = null where webhook_id in (select id from gone) returning webhook_id as id`,
    [phoneNumberId],
  )
  return rows.map(({ id }) => id)
}

export async function saveSecrets(tx: Queryable, id: number, secrets: Secrets): Promise<void> {
  const { secret, previous_secret, previous_secret_until, older_secrets } = secrets
  await tx.query(
    `update webhooks set secret = $2, previous_secret = $3, previous_secret_until = $4, older_secrets = $5,
            updated_at = now()
      where id = $1`,
    [id, secret, previous_secret, previous_secret_until, JSON.stringify(older_secrets)],
  )
}

export async function findSecrets(db: Queryable, id: number): Promise<Secrets> {
  const { rows } = await db.query<Secrets>(
    'select secret, previous_secret, previous_secret_until, older_secrets from webhooks where id = $1',
    [id],
  )
  return rows[0]!
}

/** How many deliveries wait, counted up to `limit`: a long backlog must not make a look at it slow. */
export async function countPending(db: Queryable, id: number, limit: number): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `select count(*) as n from (select 1 from pending_deliveries where webhook_id = $1 limit $2) d`,
    [id, limit],
  )
  return rows[0]!.n
}

/** The number shows the URL of its first webhook. */
async function copyToNumber(tx: Queryable, phoneNumberId: number | null): Promise<void> {
  if (phoneNumberId === null) return
  await tx.query(
    `update phone_numbers p
        set webhook_url = (select w.url from webhooks w
                            where w.phone_number_id = p.id and w.deleted_at is null order by w.id limit 1)
      where p.id = $1`,
    [phoneNumberId],
  )
}
