import type { Queryable } from './database.js'

export interface Removal {
  engine_name: string
  server_instance: string
  attempts: number
}

/** `watchSeconds`: how long the instance may still come into being although nobody sees it yet. */
export async function insert(
  tx: Queryable,
  engineName: string,
  serverInstance: string,
  watchSeconds: number | null = null,
): Promise<void> {
  await tx.query(
    `insert into instance_removals (engine_name, server_instance, watch_until)
     values ($1, $2, now() + make_interval(secs => $3)) on conflict (engine_name) do nothing`,
    [engineName, serverInstance, watchSeconds],
  )
}

/** Leases what is due for a minute; a removal is safe to do twice. */
export async function claimDue(db: Queryable, limit: number): Promise<Removal[]> {
  const { rows } = await db.query<Removal>(
    `update instance_removals r
        set due_at = now() + interval '1 minute', attempts = r.attempts + 1
       from (select engine_name from instance_removals where due_at <= now()
              order by due_at limit $1 for update skip locked) due, servers s
      where r.engine_name = due.engine_name and s.name = r.server_instance
     returning r.engine_name, r.server_instance, r.attempts`,
    [limit],
  )
  return rows
}

export async function postpone(db: Queryable, engineName: string, seconds: number): Promise<void> {
  await db.query('update instance_removals set due_at = now() + make_interval(secs => $2) where engine_name = $1', [
    engineName,
    seconds,
  ])
}

/** The engine does not know it (any more). False when it must be looked for again. */
export async function remove(db: Queryable, engineName: string): Promise<boolean> {
  const { rowCount } = await db.query(
    'delete from instance_removals where engine_name = $1 and coalesce(watch_until < now(), true)',
    [engineName],
  )
  return rowCount === 1
}

/** A server that is given up: nothing on it can be removed any more. */
export async function forgetServer(tx: Queryable, serverInstance: string): Promise<void> {
  await tx.query('delete from instance_removals where server_instance = $1', [serverInstance])
}
