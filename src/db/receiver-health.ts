import type { Queryable } from './database.js'

/** How the receiver of one webhook is doing; all zero and null while it is well. */
export interface ReceiverHealth {
  webhook_id: number
  failures: number
  last_failed: number | null
  failing_since: Date | null
  opened: number
  open_until: Date | null
}

const columns = 'webhook_id, failures, last_failed, failing_since, opened, open_until'

/** The queues whose receivers have just failed, or had failed before, or are being probed; locked in order. */
export async function lockTroubled(tx: Queryable, tried: number[], failed: number[]): Promise<ReceiverHealth[]> {
  const { rows } = await tx.query<ReceiverHealth>(
    `select ${columns} from webhook_queues
      where webhook_id = any($1::bigint[])
        and (failing_since is not null or open_until is not null or webhook_id = any($2::bigint[]))
      order by webhook_id for no key update`,
    [tried, failed],
  )
  return rows
}

/** Writes how receivers are doing; `look_at` pulls the next look forward, an open breaker decides it alone. */
export async function saveHealth(tx: Queryable, queues: (ReceiverHealth & { look_at: Date | null })[]): Promise<void> {
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
