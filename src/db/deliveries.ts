import type { Queryable } from './database.js'

export interface DueDelivery {
  id: number
  attempts: number
  webhook_id: number
  phone_number_id: number | null
  url: string
  secret: string
  event_id: string
  event_type: string
  payload: string
}

/**
 * Leases what is due, a few per webhook, so that one long backlog cannot fill the claim; webhooks in `busy` have all
 * the work they can take. The lease outlives the slowest attempt: a worker that dies lets it lapse.
 */
export async function claimDue(
  db: Queryable,
  {
    limit,
    perWebhook,
    leaseSeconds,
    busy,
  }: { limit: number; perWebhook: number; leaseSeconds: number; busy: number[] },
): Promise<DueDelivery[]> {
  const { rows } = await db.query<DueDelivery>(
    // A loose index scan: one step per webhook with something pending, however long its backlog is.
    `with recursive waiting as (
       (select webhook_id from deliveries where status = 'pending' order by webhook_id limit 1)
       union all
       select (select d.webhook_id from deliveries d
                where d.status = 'pending' and d.webhook_id > w.webhook_id order by d.webhook_id limit 1)
         from waiting w where w.webhook_id is not null),
     due as (
       select d.id
         from waiting w
        cross join lateral (
          select id from deliveries
           where webhook_id = w.webhook_id and status = 'pending' and due_at <= now()
           order by due_at, id limit $2 for update skip locked) d
        where w.webhook_id is not null and w.webhook_id <> all($4::bigint[])
        limit $1)
     update deliveries d
        set due_at = now() + make_interval(secs => $3), attempts = d.attempts + 1
       from due, events e, webhooks w
      where d.id = due.id and e.id = d.event_id and w.id = d.webhook_id
     returning d.id, d.attempts, d.webhook_id, d.phone_number_id, w.url, w.secret,
               e.public_id as event_id, e.type as event_type, e.payload::text as payload`,
    [limit, perWebhook, leaseSeconds, busy],
  )
  return rows.sort((a, b) => a.id - b.id)
}

export interface Outcome {
  id: number
  /** The attempt this outcome belongs to: a late one is refused. */
  attempt: number
  status: 'pending' | 'delivered' | 'failed'
  due_at: Date | null
}

/** Writes the outcomes of attempts that still hold their lease; answers the ids that were written. */
export async function settle(tx: Queryable, outcomes: Outcome[]): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>(
    `update deliveries d
        set status = o.status, due_at = coalesce(o.due_at, d.due_at),
            settled_at = case when o.status = 'pending' then null else now() end
       from unnest($1::bigint[], $2::integer[], $3::text[], $4::timestamptz[]) as o (id, attempt, status, due_at)
      where d.id = o.id and d.attempts = o.attempt and d.status = 'pending'
     returning d.id`,
    [
      outcomes.map((o) => o.id),
      outcomes.map((o) => o.attempt),
      outcomes.map((o) => o.status),
      outcomes.map((o) => o.due_at),
    ],
  )
  return rows.map((row) => row.id)
}
