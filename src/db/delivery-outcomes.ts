import { type Queryable, byId } from './database.js'
import * as webhookLogs from './webhook-logs.js'

/** What came of an attempt, and the attempt itself. */
export interface Outcome extends webhookLogs.Attempt {
  version: number
  status: 'pending' | 'delivered' | 'failed'
  /** When to try again; null when it is over. */
  due_at: Date | null
}

/**
 * Writes outcomes and attempts of deliveries whose queue `holder` still holds; answers which outcomes came late, and were
 * not written: another worker has taken over, or the delivery was asked for again meanwhile.
 * A delivery leaves what is pending first, which is its lock; where the first attempt succeeds that is all, as its attempt
 * tells the rest (docs/adr/0011). `sent_at` goes as milliseconds, which are read four times as fast.
 */
export async function settle(tx: Queryable, holder: string, at: Date, unordered: Outcome[]): Promise<Set<Outcome>> {
  const outcomes = unordered.toSorted((a, b) => a.delivery_id - b.delivery_id) // as whoever else locks several
  const { rows } = await tx.query<{ place: number }>(
    `with tried as (
       delete from pending_deliveries p
        using unnest($3::bigint[], $4::integer[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::integer[],
                     $10::integer[], $11::text[], $12::text[], $13::bigint[])
              as o (id, version, status, due_at, event_id, event_type, status_code, response_time_ms, error,
                    response_body, sent_ms)
        where ${byId('p', 'o.id')} and p.version = o.version
          and exists (select 1 from webhook_queues q where q.webhook_id = p.webhook_id and q.holder = $2 offset 0)
       returning p.id as delivery_id, p.version, p.attempts + 1 as attempt, p.phone_number_id, o.status, o.due_at,
                 o.event_id, o.event_type, o.status_code, o.response_time_ms, o.error, o.response_body,
                 to_timestamp(o.sent_ms / 1000::float8) as sent_at),
     written as (
       update deliveries d
          set status = t.status, due_at = coalesce(t.due_at, d.due_at), attempts = t.attempt, claims = d.claims + 1,
              settled_at = case when t.status = 'pending' then null else $1::timestamptz end
         from tried t
        where ${byId('d', 't.delivery_id')} and not (t.attempt = 1 and t.status = 'delivered')),
     logged as (${webhookLogs.insertedFrom('tried')})
     select place from unnest($3::bigint[], $4::integer[]) with ordinality as o (id, version, place)
      where (select count(*) from tried) < cardinality($3::bigint[])
        and (id, version) not in (select delivery_id, version from tried)`,
    [
      at,
      holder,
      outcomes.map((o) => o.delivery_id),
      outcomes.map((o) => o.version),
      outcomes.map((o) => o.status),
      outcomes.map((o) => o.due_at),
      outcomes.map((o) => o.event_id),
      outcomes.map((o) => o.event_type),
      outcomes.map((o) => o.status_code),
      outcomes.map((o) => o.response_time_ms),
      outcomes.map((o) => o.error),
      outcomes.map((o) => o.response_body),
      outcomes.map((o) => o.sent_at.getTime()),
    ],
  )
  return new Set(rows.map(({ place }) => outcomes[place - 1]!))
}
