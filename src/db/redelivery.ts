import { type Queryable, byId } from './database.js'
import { type DeliveryCursor, type DeliveryStatus, createdUs, listed } from './delivery-lists.js'

/** Keeps the events that are named `e` until the commit: the pruner leaves them, or they are left out here. */
const KEPT = 'for key share of e'

/** The part of a statement that locks what is pending of `source`, as `open`: first, and in order, as outcomes do. */
const locked = (source: string) => `
     open as materialized (
       select p.id from (select id from ${source} order by id) k
        cross join lateral (select id from pending_deliveries where id = k.id offset 0 for update) p)`

/** How often it was tried: once at least, if it is not pending. */
const TRIED = 'greatest(d.attempts, case when d.id in (select id from open) then 0 else 1 end)'

/**
 * The part of a statement that owes the deliveries in `source` again, from the beginning of the schedule; attempts in
 * flight no longer count. What is not found pending under the lock has its outcome.
 */
const owedAgain = (source: string) => `
     ${locked(source)},
     again as (
       update deliveries d
          set status = 'pending', attempts = ${TRIED}, attempts_from = ${TRIED}, claims = d.claims + 1,
              due_at = coalesce($2, now()), settled_at = null
         from ${source} k where ${byId('d', 'k.id')}
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
    `with picked as (
       select id from pending_deliveries
        where webhook_id = $1 and (due_at > $2 or attempts > attempts_from) order by due_at, id limit $3),
     ${locked('picked')}
     update deliveries d set attempts_from = d.attempts, due_at = least(d.created_at, $2)
       from picked k where ${byId('d', 'k.id')} and (select count(*) from open) >= 0 -- locked before any is written
     `,
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
