import { type Queryable, byId } from './database.js'

export interface Attempt {
  delivery_id: number
  attempt: number
  event_id: string
  event_type: string
  status_code: number | null
  response_time_ms: number
  error: string | null
  response_body: string | null
  sent_at: Date
}

/** The part of a statement that keeps the attempts in `source`; the payload column names the event instead of copying it. */
export const insertedFrom = (source: string) => `
       insert into webhook_logs (delivery_id, attempt, phone_number_id, payload, event_type, status_code,
                                 response_time_ms, error, response_body, sent_at)
       select delivery_id, attempt, phone_number_id, jsonb_object('{event_id}', array[event_id]), event_type, status_code,
              response_time_ms, error, response_body, sent_at from ${source}`

/** One row per attempt of a delivery that is still kept. */
export async function insert(tx: Queryable, attempts: Attempt[]): Promise<void> {
  await tx.query(
    `with attempts as (
       select a.*, d.phone_number_id
         from unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[],
                     $8::text[], $9::timestamptz[])
              as a (delivery_id, attempt, event_id, event_type, status_code, response_time_ms, error, response_body,
                    sent_at)
         join deliveries d on d.id = a.delivery_id)
     ${insertedFrom('attempts')}`,
    [
      attempts.map((a) => a.delivery_id),
      attempts.map((a) => a.attempt),
      attempts.map((a) => a.event_id),
      attempts.map((a) => a.event_type),
      attempts.map((a) => a.status_code),
      attempts.map((a) => a.response_time_ms),
      attempts.map((a) => a.error),
      attempts.map((a) => a.response_body),
      attempts.map((a) => a.sent_at),
    ],
  )
}

/** The attempts of one delivery, first to last. */
export async function listOfDelivery(db: Queryable, deliveryId: number, limit: number) {
  const { rows } = await db.query<Omit<Attempt, 'delivery_id' | 'event_id' | 'event_type'>>(
    `select attempt, status_code, response_time_ms, error, response_body, sent_at
       from webhook_logs where delivery_id = $1 order by attempt desc, id desc limit $2`,
    [deliveryId, limit],
  )
  return rows.reverse()
}

/** The part of a statement that deletes the attempts of these events' deliveries; no key does. */
export const deletedOf = (events: string) => `
       delete from webhook_logs where ctid = any(array(
         select l.ctid
           from (${events}) e
          cross join lateral (select id from deliveries where event_id = e.id offset 0) d
          cross join lateral (select ctid from webhook_logs where delivery_id = d.id offset 0) l))`

/** Deletes old attempts; what one alone tells of a delivery that is still kept is written there (docs/adr/0011). */
export async function prune(db: Queryable, days: number, batch: number, now: Date | null): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `with gone as (
       delete from webhook_logs where ctid = any(array(
         select ctid from webhook_logs where sent_at < coalesce($3, now()) - make_interval(days => $1)
          order by sent_at limit $2))
       returning id, delivery_id, attempt, error, sent_at + response_time_ms * interval '1 millisecond' as answered_at),
     outlasted as (
       update deliveries d set status = 'delivered', attempts = 1, settled_at = g.answered_at
         from (select distinct on (delivery_id) delivery_id, answered_at from gone
                where attempt = 1 and error is null order by delivery_id, id) g
        where ${byId('d', 'g.delivery_id')} and d.status = 'pending' and d.attempts = 0
          and not exists (select 1 from (select from pending_deliveries where id = d.id offset 0) p))
     select count(*) as n from gone`,
    [days, batch, now],
  )
  return rows[0]!.n
}
