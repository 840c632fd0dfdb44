import type { Queryable } from './database.js'

export interface Removal {
  engine_name: string
  server_instance: string
  attempts: number
  url: string
}

export async function insert(tx: Queryable, engineName: string, serverInstance: string): Promise<void> {
  await tx.query(
    `insert into instance_removals (engine_name, server_instance) values ($1, $2) on conflict (engine_name) do nothing`,
    [engineName, serverInstance],
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
     returning r.engine_name, r.server_instance, r.attempts, s.url`,
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

export async function remove(db: Queryable, engineName: string): Promise<void> {
  await db.query('delete from instance_removals where engine_name = $1', [engineName])
}
