import type { Queryable, Transaction } from './database.js'
import * as webhookQueues from './webhook-queues.js'
import type { ClaimScope, DueQueue } from './webhook-queues.js'

/** A delivery a worker has leased, with all it takes to attempt it. */
export interface DueDelivery {
  id: number
  /** The lease this worker got; outcomes that name an older one are refused. */
  claims: number
  attempts: number
  attempts_from: number
  /** When it was due, to be given back in its place. */
  was_due_at: Date
  webhook_id: number
  user_id: number
  phone_number_id: number | null
  url: string
  headers: Record<string, string>
  secret: string
  previous_secret: string | null
  previous_secret_until: Date | null
  event_id: string
  event_type: string
  payload: string
  /** The one delivery by which an open breaker tries its receiver again. */
  probe: boolean
}

export interface Claim {
  due: DueDelivery[]
  /** It was filled to its limit: there may be more. */
  more: boolean
}

export interface ClaimLimits {
  total: number
  per_webhook: number
}

/**
 * Leases what is due, a few per webhook, so that one long backlog cannot fill the claim. The lease outlives the slowest
 * attempt: a worker that dies lets it lapse.
 */
export async function claimDue(tx: Transaction, scope: ClaimScope, limits: ClaimLimits): Promise<Claim> {
  const queues = await webhookQueues.lockDue(tx, scope, limits.total)
  if (queues.length === 0) return { due: [], more: false }
  const claimed = await lease(tx, scope, queues, limits)
  const ids = queues.map((queue) => queue.webhook_id)
  const probed = claimed.filter((delivery) => delivery.probe).map((delivery) => delivery.webhook_id)
  await tx.commitWith(webhookQueues.reschedule(tx, scope, ids, probed))
  const due = claimed.sort((a, b) => a.was_due_at.getTime() - b.was_due_at.getTime() || a.id - b.id)
  return { due, more: queues.length === limits.total || due.length === limits.total }
}

async function lease(tx: Queryable, scope: ClaimScope, queues: DueQueue[], { total, per_webhook }: ClaimLimits) {
  const { rows } = await tx.query<DueDelivery>(
    `with due as (
       select d.id, d.due_at, q.probe
         from unnest($1::bigint[], $2::boolean[]) as q (webhook_id, probe)
         join webhooks w on w.id = q.webhook_id and w.enabled and w.deleted_at is null
        cross join lateral (
          select id, due_at from deliveries
           where webhook_id = q.webhook_id and status = 'pending' and due_at <= coalesce($3, now())
           order by due_at, id limit case when q.probe then 1 else $4 end for update skip locked) d
        limit $5),
     claimed as (
       update deliveries d
          set due_at = coalesce($3, now()) + make_interval(secs => $6), attempts = d.attempts + 1, claims = d.claims + 1
         from due where d.id = due.id
       returning d.id, d.claims, d.attempts, d.attempts_from, due.due_at as was_due_at, due.probe, d.webhook_id,
                 d.phone_number_id, d.event_id)
     select c.id, c.claims, c.attempts, c.attempts_from, c.was_due_at, c.probe, c.webhook_id, c.phone_number_id, w.user_id,
            w.url, w.headers, w.secret, w.previous_secret, w.previous_secret_until,
            e.public_id as event_id, e.type as event_type, e.payload::text as payload
       from claimed c join webhooks w on w.id = c.webhook_id join events e on e.id = c.event_id`,
    [queues.map((q) => q.webhook_id), queues.map((q) => q.probe), scope.now, per_webhook, total, scope.lease_seconds],
  )
  return rows
}

export interface Outcome {
  id: number
  claims: number
  status: 'pending' | 'delivered' | 'failed'
  /** When to try again; null when it is over. */
  due_at: Date | null
  at: Date
}

/** Writes the outcomes of attempts that still hold their lease; answers the ids that were written. */
export async function settle(tx: Queryable, outcomes: Outcome[]): Promise<Set<number>> {
  const { rows } = await tx.query<{ id: number }>(
    `update deliveries d
        set status = o.status, due_at = coalesce(o.due_at, d.due_at),
            settled_at = case when o.status = 'pending' then null else o.at end
       from unnest($1::bigint[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[])
            as o (id, claims, status, due_at, at)
      where d.id = o.id and d.claims = o.claims and d.status = 'pending'
     returning d.id`,
    [
      outcomes.map((o) => o.id),
      outcomes.map((o) => o.claims),
      outcomes.map((o) => o.status),
      outcomes.map((o) => o.due_at),
      outcomes.map((o) => o.at),
    ],
  )
  return new Set(rows.map((row) => row.id))
}

/** Gives back what was claimed and not tried: in its place, and without having spent an attempt. */
export async function release(tx: Queryable, deliveries: DueDelivery[], now: Date | null): Promise<void> {
  await tx.query(
    `update deliveries d
        set due_at = r.due_at, attempts = d.attempts - 1
       from unnest($1::bigint[], $2::integer[], $3::timestamptz[]) as r (id, claims, due_at)
      where d.id = r.id and d.claims = r.claims and d.status = 'pending'`,
    [deliveries.map((d) => d.id), deliveries.map((d) => d.claims), deliveries.map((d) => d.was_due_at)],
  )
  const probed = deliveries.filter((delivery) => delivery.probe).map((delivery) => delivery.webhook_id)
  await webhookQueues.giveBack(tx, [...new Set(deliveries.map((d) => d.webhook_id))], probed, now)
}
