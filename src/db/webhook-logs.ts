import type { Queryable } from './database.js'

export interface Attempt {
  delivery_id: number
  attempt: number
  phone_number_id: number | null
  event_id: string
  event_type: string
  status_code: number | null
  response_time_ms: number
  error: string | null
  response_body: string | null
  sent_at: Date
}

/** One row per attempt. The payload column names the event instead of copying it. */
export async function insert(tx: Queryable, attempts: Attempt[]): Promise<void> {
  await tx.query(
    `insert into webhook_logs (delivery_id, attempt, phone_number_id, payload, event_type, status_code,
                               response_time_ms, error, response_body, sent_at)
     select delivery_id, attempt, phone_number_id, jsonb_build_object('event_id', event_id), event_type, status_code,
            response_time_ms, error, response_body, sent_at
       from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::integer[],
                   $8::text[], $9::text[], $10::timestamptz[])
            as a (delivery_id, attempt, phone_number_id, event_id, event_type, status_code, response_time_ms, error,
                  response_body, sent_at)`,
    [
      attempts.map((a) => a.delivery_id),
      attempts.map((a) => a.attempt),
      attempts.map((a) => a.phone_number_id),
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
  const { rows } = await db.query<Omit<Attempt, 'delivery_id' | 'phone_number_id' | 'event_id' | 'event_type'>>(
    `select attempt, status_code, response_time_ms, error, response_body, sent_at
       from webhook_logs where delivery_id = $1 order by attempt desc, id desc limit $2`,
    [deliveryId, limit],
  )
  return rows.reverse()
}

export async function prune(db: Queryable, days: number, batch: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from webhook_logs where id in (
       select id from webhook_logs where sent_at < coalesce($3, now()) - make_interval(days => $1) order by sent_at limit $2)`,
    [days, batch, now],
  )
  return rowCount ?? 0
}
