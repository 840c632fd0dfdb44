import type { Queryable } from './database.js'

/** What is owed to one webhook and how its receiver is doing. */
export interface WebhookQueue {
  webhook_id: number
  failures: number
  last_failed: number | null
  failing_since: Date | null
  opened: number
  open_until: Date | null
}

const columns = 'webhook_id, failures, last_failed, failing_since, opened, open_until'

/** A queue that is due, and how many deliveries it may have: one while its breaker tries the receiver again. */
export interface DueQueue {
  webhook_id: number
  probe: boolean
}

export interface ClaimScope {
  holder: string
  now: Date | null
  lease_seconds: number
  /** Webhooks and users that have all the work they can take. */
  busy_webhooks: number[]
  busy_users: number[]
}

/**
 * Locks queues that are due: first one of each user, then their second ones, and within that who waits longest.
 * A queue that another worker holds is left to it, so that deliveries keep their order.
 */
export async function lockDue(tx: Queryable, scope: ClaimScope, limit: number): Promise<DueQueue[]> {
  const { rows } = await tx.query<DueQueue>(
    `select q.webhook_id, q.open_until is not null as probe
       from webhook_queues q
       join (select webhook_id, row_number() over (partition by user_id order by due_at) as turn
               from (select webhook_id, user_id, due_at from webhook_queues
                      where due_at <= coalesce($1, now()) and webhook_id <> all($3::bigint[])
                        and user_id <> all($4::bigint[])
                        and (holder is null or holder = $2 or held_until < coalesce($1, now()))
                      order by due_at limit 512) waiting) ranked using (webhook_id)
      where q.due_at <= coalesce($1, now()) and (q.holder is null or q.holder = $2 or q.held_until < coalesce($1, now()))
      order by ranked.turn, q.due_at
      limit $5
        for no key update of q skip locked`,
    [scope.now, scope.holder, scope.busy_webhooks, scope.busy_users, limit],
  )
  return rows
}

/**
 * Says when to look at claimed queues again: now if more is due, else at the next retry or lapsed lease. Takes hold of
 * them for the length of the lease; one that is being probed stays shut as long. Must follow the claim in a statement
 * of its own to see what it left.
 */
export async function reschedule(tx: Queryable, scope: ClaimScope, webhookIds: number[], probed: number[]) {
  await tx.query(
    `update webhook_queues q
        set holder = $2, held_until = t.lapses,
            open_until = case when q.webhook_id = any($4::bigint[]) then t.lapses else q.open_until end,
            due_at = case when not w.enabled or w.deleted_at is not null then null
                          when q.webhook_id = any($4::bigint[]) then t.lapses
                          else (select greatest(d.due_at, t.now) from deliveries d
                                 where d.webhook_id = q.webhook_id and d.status = 'pending'
                                 order by d.due_at limit 1) end
       from webhooks w,
            (select coalesce($1, now()) as now, coalesce($1, now()) + make_interval(secs => $3) as lapses) t
      where q.webhook_id = any($5::bigint[]) and w.id = q.webhook_id`,
    [scope.now, scope.holder, scope.lease_seconds, probed, webhookIds],
  )
}

/** What was claimed was not tried after all: it is due again, and so is the probe of a queue that was being probed. */
export async function giveBack(tx: Queryable, webhookIds: number[], probed: number[], now: Date | null): Promise<void> {
  await tx.query('update webhook_queues set open_until = coalesce($2, now()) where webhook_id = any($1::bigint[])', [
    probed,
    now,
  ])
  await wake(tx, webhookIds, now)
}

/** Lets go of what a worker that stops has held. */
export async function releaseHolder(db: Queryable, holder: string): Promise<void> {
  await db.query('update webhook_queues set holder = null, held_until = null where holder = $1', [holder])
}

/**
 * The part of a statement that tells queues that something is due in them from now on; `webhooks` selects their ids.
 * Every row is written, also one that seems due already: the lock makes a claim that runs at the same time look again.
 * Those of an open breaker keep their moment.
 */
export const woken = (webhooks: string, now = 'now()') => `
     locked as (
       select webhook_id from webhook_queues where webhook_id in (${webhooks}) order by webhook_id for no key update),
     woken as (
       update webhook_queues q
          set due_at = case when q.open_until > ${now} then q.due_at
                            else least(coalesce(q.due_at, 'infinity'), ${now}) end
         from locked where q.webhook_id = locked.webhook_id
       returning 1)`

export async function wake(tx: Queryable, webhookIds: number[], at: Date | null = null): Promise<void> {
  if (webhookIds.length === 0) return
  await tx.query(`with ${woken('select unnest($1::bigint[])', 'coalesce($2, now())')} select 1 from woken limit 1`, [
    webhookIds,
    at,
  ])
}

/** The queues whose receivers have just failed, or had failed before; locked in order. */
export async function lockTroubled(tx: Queryable, tried: number[], failed: number[]): Promise<WebhookQueue[]> {
  const { rows } = await tx.query<WebhookQueue>(
    `select ${columns} from webhook_queues
      where webhook_id = any($1::bigint[]) and (failing_since is not null or webhook_id = any($2::bigint[]))
      order by webhook_id for no key update`,
    [tried, failed],
  )
  return rows
}

/** Writes how receivers are doing; `look_at` pulls the next look forward, an open breaker decides it alone. */
export async function saveHealth(tx: Queryable, queues: (WebhookQueue & { look_at: Date | null })[]): Promise<void> {
  if (queues.length === 0) return
  await tx.query(
    `update webhook_queues q
        set failures = n.failures, last_failed = n.last_failed, failing_since = n.failing_since, opened = n.opened,
            open_until = n.open_until, due_at = case when n.open_until is not null then n.open_until
                                                     else least(coalesce(q.due_at, 'infinity'), n.look_at) end
       from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::integer[], $6::timestamptz[],
                   $7::timestamptz[])
            as n (webhook_id, failures, last_failed, failing_since, opened, open_until, look_at)
      where q.webhook_id = n.webhook_id`,
    [
      queues.map((q) => q.webhook_id),
      queues.map((q) => q.failures),
      queues.map((q) => q.last_failed),
      queues.map((q) => q.failing_since),
      queues.map((q) => q.opened),
      queues.map((q) => q.open_until),
      queues.map((q) => q.look_at),
    ],
  )
}

/** Begins again as if nothing had failed: after enabling, or with a new address. */
export async function reset(tx: Queryable, webhookId: number, dueAt: Date | null): Promise<void> {
  await tx.query(
    `update webhook_queues
        set failures = 0, last_failed = null, failing_since = null, opened = 0, open_until = null, due_at = $2
      where webhook_id = $1`,
    [webhookId, dueAt],
  )
}
