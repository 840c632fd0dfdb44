import type { Queryable } from './database.js'

export type DeliveryStatus = 'pending' | 'delivered' | 'failed'

export interface Delivery {
  id: number
  webhook_id: number
  phone_number_id: number | null
  event_id: string
  event_type: string
  status: DeliveryStatus
  attempts: number
  due_at: Date
  /** Pending, but its webhook is disabled: it waits until that is enabled again. */
  held: boolean
  created_at: Date
  /** The same in microseconds, for the cursor: a Date would cut them off. */
  created_us: number
  settled_at: Date | null
}

export interface DeliveryFilter {
  status?: DeliveryStatus
  event_types?: string[]
  from?: Date
  to?: Date
}

/** Where a page begins or a call ended: the delivery of this moment and id. */
export interface DeliveryCursor {
  created_us: number
  id: number
}

const createdUs = (row: string) => `(extract(epoch from ${row}.created_at) * 1000000)::bigint`

const columns = `d.id, d.webhook_id, d.phone_number_id, e.public_id as event_id, e.type as event_type, d.status, d.attempts,
  d.due_at, d.status = 'pending' and not w.enabled as held, d.created_at, d.settled_at,
  ${createdUs('d')} as created_us`

/** Deliveries of a status, without a look at all the others; undefined: all. */
function listed(status: DeliveryStatus | undefined): string {
  if (status === 'pending') return '(select d.* from pending_deliveries p join deliveries d on d.id = p.id)'
  if (status === 'failed')
    return `(select f.webhook_id, f.created_at, f.id, d.phone_number_id, d.event_id, d.status, d.attempts, d.due_at,
                    d.settled_at
               from failed_deliveries f cross join lateral (select * from deliveries where id = f.id offset 0) d)`
  return 'delivery_details'
}

export async function listOwned(
  db: Queryable,
  userId: number,
  webhookId: number,
  filter: DeliveryFilter,
  page: { before?: DeliveryCursor; limit: number },
): Promise<Delivery[]> {
  const { rows } = await db.query<Delivery>(
    `with w as materialized ( -- looked at once, not for each delivery
       select enabled from webhooks where id = $2 and user_id = $1 and deleted_at is null)
     select ${columns}
       from w cross join ${listed(filter.status)} d join events e on e.id = d.event_id
      where d.webhook_id = $2
        and ($3::text is null or d.status = $3) and ($4::text[] is null or e.type = any($4))
        and d.created_at >= coalesce($5::timestamptz, '-infinity') and d.created_at <= coalesce($6::timestamptz, 'infinity')
        and (d.created_at, d.id) < (coalesce(timestamptz 'epoch' + $7::bigint * interval '1 microsecond', 'infinity'), $8::bigint)
      order by d.created_at desc, d.id desc limit $9`,
    [
      userId,
      webhookId,
      filter.status ?? null,
      filter.event_types ?? null,
      filter.from ?? null,
      filter.to ?? null,
      page.before?.created_us ?? null,
      page.before?.id ?? 0,
      page.limit,
    ],
  )
  return rows
}

/** One delivery with the exact body it sends. */
export async function findOwned(db: Queryable, userId: number, id: number) {
  const { rows } = await db.query<Delivery & { url: string; body: string }>(
    `select ${columns}, w.url, e.payload as body
       from delivery_details d join webhooks w on w.id = d.webhook_id join events e on e.id = d.event_id
      where w.user_id = $1 and d.id = $2 and w.deleted_at is null`,
    [userId, id],
  )
  return rows[0]
}

/** Keeps the events that are named `e` until the commit: the pruner leaves them, or they are left out here. */
const KEPT = 'for key share of e'

/** How often it was tried: once at least, if it is not pending. */
const TRIED = 'greatest(d.attempts, case when d.id in (select id from open) then 0 else 1 end)'

/**
 * The part of a statement that owes the deliveries in `source` again, from the beginning of the schedule; attempts in
 * flight no longer count. What is pending is locked first, as an outcome does it: what is not found then has one.
 */
const owedAgain = (source: string) => `
     open as (
       select id from pending_deliveries where id in (select id from ${source}) order by id for update),
     again as (
       update deliveries d
          set status = 'pending', attempts = ${TRIED}, attempts_from = ${TRIED}, claims = d.claims + 1,
              due_at = coalesce($2, now()), settled_at = null
        where d.id in (select id from ${source})
       returning 1)`

/** Owes it again, due at once. False: it is gone. */
export async function redeliver(tx: Queryable, id: number, now: Date | null): Promise<boolean> {
  const { rowCount } = await tx.query(
    `with kept as (select d.id from deliveries d join events e on e.id = d.event_id where d.id = $1 ${KEPT}),
     ${owedAgain('kept')}
     select 1 from again`,
    [id, now],
  )
  return rowCount === 1
}

/**
 * What was tried, or waits, is due at once, where it was in the line, with all of the schedule before it: the first
 * `limit` of them.
 */
export async function beginAgain(tx: Queryable, webhookId: number, now: Date, limit: number): Promise<void> {
  await tx.query(
    `update deliveries d set attempts_from = d.attempts, due_at = least(d.created_at, $2)
      where d.id in (select id from pending_deliveries
                      where webhook_id = $1 and (due_at > $2 or attempts > attempts_from) order by due_at, id limit $3)`,
    [webhookId, now, limit],
  )
}

export interface Range {
  from: Date
  to: Date
  event_types?: string[]
  limit: number
}

/**
 * Owes a webhook's deliveries of events of a time range again, oldest first, from `after` on; answers how many, and the
 * last one: what is owed again may end as it was, and would be found once more. What is due is left alone.
 */
export async function redeliverRange(
  tx: Queryable,
  webhookId: number,
  now: Date | null,
  range: Range & { status: DeliveryStatus; after?: DeliveryCursor | null },
): Promise<{ redelivered: number; last: DeliveryCursor | undefined }> {
  const { rows } = await tx.query<DeliveryCursor & { redelivered: number }>(
    `with picked as (
       select d.id, d.created_at from ${listed(range.status)} d join events e on e.id = d.event_id
        where d.webhook_id = $1 and d.created_at >= $3 and d.created_at <= $4 and d.status = $5
          and ($6::text[] is null or e.type = any($6))
          and (d.status <> 'pending' or d.due_at > coalesce($2, now()))
          and (d.created_at, d.id) > (coalesce(timestamptz 'epoch' + $8::bigint * interval '1 microsecond', '-infinity'), $9::bigint)
        order by d.created_at, d.id limit $7 ${KEPT}),
     ${owedAgain('picked')}
     select (select count(*) from again) as redelivered, id, ${createdUs('picked')} as created_us
       from picked order by created_at desc, id desc limit 1`,
    [
      webhookId,
      now,
      range.from,
      range.to,
      range.status,
      range.event_types ?? null,
      range.limit,
      range.after?.created_us ?? null,
      range.after?.id ?? 0,
    ],
  )
  return { redelivered: rows[0]?.redelivered ?? 0, last: rows[0] }
}

/** Owes a webhook the events of a time range that it wants and never was owed: it was disabled or did not exist yet. */
export async function deliverMissing(
  tx: Queryable,
  webhookId: number,
  now: Date | null,
  range: Range,
): Promise<number> {
  const { rowCount } = await tx.query(
    `insert into deliveries (event_id, webhook_id, phone_number_id, due_at)
     select e.id, w.id, e.phone_number_id, coalesce($2, now())
       from webhooks w join events e on e.user_id = w.user_id
      where w.id = $1 and e.created_at >= $3 and e.created_at <= $4
        and (w.phone_number_id is null or e.phone_number_id is null or w.phone_number_id = e.phone_number_id)
        and (e.type = any(w.event_types) or '*' = any(w.event_types))
        and ($5::text[] is null or e.type = any($5))
        and not exists (select 1 from deliveries d where d.event_id = e.id and d.webhook_id = w.id)
      order by e.position limit $6 ${KEPT}
         on conflict (event_id, webhook_id) do nothing`,
    [webhookId, now, range.from, range.to, range.event_types ?? null, range.limit],
  )
  return rowCount ?? 0
}
