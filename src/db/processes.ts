import type { Queryable } from './database.js'

/** Beats are 3 s apart; after this many seconds without one a process counts as dead and its work is taken over. */
export const DEAD_AFTER_SECONDS = 15

export async function insert(db: Queryable, role: string): Promise<number> {
  const { rows } = await db.query<{ id: number }>('insert into processes (role) values ($1) returning id', [role])
  return rows[0]!.id
}

/** False when the process was already declared dead: it must not go on under this id. */
export async function beat(db: Queryable, id: number): Promise<boolean> {
  const { rowCount } = await db.query('update processes set heartbeat_at = now() where id = $1', [id])
  return rowCount === 1
}

export async function remove(db: Queryable, id: number): Promise<void> {
  await db.query('delete from processes where id = $1', [id])
}

/** Removes the processes that stopped beating; whoever removed one takes over its work in the same transaction. */
export async function removeDead(tx: Queryable): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>(
    `delete from processes where id in (
       select id from processes where heartbeat_at < now() - make_interval(secs => $1) for update skip locked)
     returning id`,
    [DEAD_AFTER_SECONDS],
  )
  return rows.map((row) => row.id)
}
