import type { Queryable } from './database.js'

/** Where a delivery goes and what signs it; the deliveries of one claim share it. */
export interface Target {
  webhook_id: number
  user_id: number
  url: string
  headers: Record<string, string>
  secret: string
  previous_secret: string | null
  previous_secret_until: Date | null
  /** Those before the previous one. */
  older_secrets: OlderSecret[]
}

export interface OlderSecret {
  secret: string
  /** ISO 8601, as JSON has no moments. */
  until: string
}

export type Secrets = Pick<Target, 'secret' | 'previous_secret' | 'previous_secret_until' | 'older_secrets'>

/** A queue that is due, locked for a claim. */
export interface DueQueue {
  webhook_id: number
  /** Its breaker tries the receiver again: it may have one delivery. */
  probe: boolean
  /** Its receiver failed lately, perhaps at the events of one number alone. */
  troubled: boolean
}

export interface ClaimScope {
  holder: string
  /** By the server's clock; where the database's is ahead, that counts: it has stamped what became due. */
  now: Date
  lease_seconds: number
  /** Webhooks and users that have all the work they can take. */
  busy_webhooks: number[]
  busy_users: number[]
}

/**
 * Locks queues that are due: first one of each user, then their second ones, and within that who waits longest; chosen
 * from four times as many, so that others can lock some too, and `limit` of them say that there may be more.
 * A queue that another worker holds is left to it, so that deliveries keep their order. What is looked at again under the
 * lock says `is true`, or the planner would find a small table's due queues anew for each of them instead of by its key.
 */
export async function lockDue(tx: Queryable, scope: ClaimScope, limit: number): Promise<DueQueue[]> {
  const { rows } = await tx.query<DueQueue>(
    `select q.webhook_id, q.open_until is not null as probe, q.failing_since is not null as troubled
       from webhook_queues q
       join (select webhook_id, row_number() over (partition by user_id order by due_at) as turn
               from (select webhook_id, user_id, due_at from webhook_queues
                      where due_at <= greatest($1, now())
                        and webhook_id not in (select unnest($3::bigint[]))
                        and user_id not in (select unnest($4::bigint[]))
                        and (holder is null or holder = $2 or held_until < greatest($1, now()))
                      order by due_at limit 4 * $5) waiting) ranked using (webhook_id)
      where (q.due_at <= greatest($1, now())) is true
        and (q.holder is null or q.holder = $2 or q.held_until < greatest($1, now()))
      order by ranked.turn, q.due_at
      limit $5
        for no key update of q skip locked`,
    [scope.now, scope.holder, scope.busy_webhooks, scope.busy_users, limit],
  )
  return rows
}

/**
 * Where the deliveries of these webhooks go. Asked for under the locks of their queues: the statement that takes those
 * would still see what a change has just replaced.
 */
export async function listTargets(tx: Queryable, ids: number[]): Promise<Map<number, Target & { enabled: boolean }>> {
  const { rows } = await tx.query<Target & { enabled: boolean }>(
    `select id as webhook_id, enabled and deleted_at is null as enabled, user_id, url, headers, secret, previous_secret,
            previous_secret_until, older_secrets
       from webhooks where id = any($1::bigint[])`,
    [ids],
  )
  return new Map(rows.map((row) => [row.webhook_id, row]))
}

/** What a claim found in a queue. */
export interface Look {
  webhook_id: number
  enabled: boolean
  probed: boolean
  /** More may be due than was taken. */
  more: boolean
  /** Something of it is in hand. */
  held: boolean
}

/**
 * Takes hold of locked queues for the length of the lease and says when to look at them again: now if more may be due,
 * else at the next retry, or when what is in hand would be lost. One that is being probed stays shut as long.
 */
export async function reschedule(tx: Queryable, scope: ClaimScope, looks: Look[]): Promise<void> {
  await tx.query(
    `update webhook_queues q
        set holder = $2, held_until = t.lapses, open_until = case when l.probed then t.lapses else q.open_until end,
            due_at = case when not l.enabled then null
                          when l.probed then t.lapses
                          when l.more then t.now
                          else least(case when l.held then t.lapses end,
                                     (select p.due_at from pending_deliveries p
                                       where p.webhook_id = q.webhook_id and p.due_at > t.now
                                       order by p.due_at limit 1)) end
       from unnest($4::bigint[], $5::boolean[], $6::boolean[], $7::boolean[], $8::boolean[])
            as l (webhook_id, enabled, probed, more, held),
            (select greatest($1, now()) as now, greatest($1, now()) + make_interval(secs => $3) as lapses) t
      where q.webhook_id = l.webhook_id`,
    [
      scope.now,
      scope.holder,
      scope.lease_seconds,
      looks.map((l) => l.webhook_id),
      looks.map((l) => l.enabled),
      looks.map((l) => l.probed),
      looks.map((l) => l.more),
      looks.map((l) => l.held),
    ],
  )
}

/** What was claimed was not tried after all: it is due again, and so is the probe of a queue that was being probed. */
export async function giveBack(tx: Queryable, webhookIds: number[], probed: number[], now: Date | null): Promise<void> {
  await wake(tx, webhookIds, now) // which locks them all, in order
  if (probed.length === 0) return
  // One that is well meanwhile needs no probe any more.
  await tx.query(
    `update webhook_queues set open_until = coalesce($2, now()), due_at = least(due_at, coalesce($2, now()))
      where webhook_id = any($1::bigint[]) and open_until is not null`,
    [probed, now],
  )
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

/**
 * Somebody asks for it: an open breaker tries the receiver now instead of at the end of its pause, unless it is just
 * doing so: then it stays shut as long as the queue is held.
 */
export async function tryNow(tx: Queryable, webhookId: number, now: Date): Promise<void> {
  await tx.query(
    `update webhook_queues
        set open_until = case when open_until is not null then least(open_until, $2) end,
            due_at = least(coalesce(due_at, 'infinity'), $2)
      where webhook_id = $1 and (open_until = held_until and held_until > $2) is not true`,
    [webhookId, now],
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
