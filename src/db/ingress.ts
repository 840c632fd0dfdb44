import type { Queryable } from './database.js'

/** Remembers the keys of events; answers which of them were new. */
export async function rememberKeys(tx: Queryable, keys: Buffer[]): Promise<Set<string>> {
  const { rows } = await tx.query<{ key: Buffer }>(
    `insert into ingress_keys (key) select k from unnest($1::bytea[]) k order by k on conflict do nothing returning key`,
    [keys],
  )
  return new Set(rows.map((row) => row.key.toString('hex')))
}

export interface Unprocessed {
  engine_name: string
  reason: string
  size: number
  body: string | null
}

export async function insertUnprocessed(db: Queryable, event: Unprocessed): Promise<void> {
  await db.query('insert into unprocessed_events (engine_name, reason, size, body) values ($1, $2, $3, $4)', [
    event.engine_name,
    event.reason,
    event.size,
    event.body,
  ])
}

/** How many genuine events were kept unprocessed in the last hours, up to `limit`, and why the latest of them. */
export async function countUnprocessed(db: Queryable, hours: number, limit: number) {
  const { rows } = await db.query<{ n: number; reason: string | null }>(
    `select (select count(*) from (select 1 from unprocessed_events
                                    where created_at > now() - make_interval(hours => $1) limit $2) late) as n,
            (select reason from unprocessed_events order by id desc limit 1) as reason`,
    [hours, limit],
  )
  return rows[0]!
}

export async function pruneKeys(db: Queryable, days: number, batch: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from ingress_keys where key in (
       select key from ingress_keys where created_at < coalesce($3, now()) - make_interval(days => $1) limit $2)`,
    [days, batch, now],
  )
  return rowCount ?? 0
}

export async function pruneUnprocessed(db: Queryable, days: number, batch: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from unprocessed_events where id in (
       select id from unprocessed_events where created_at < coalesce($3, now()) - make_interval(days => $1) order by id limit $2)`,
    [days, batch, now],
  )
  return rowCount ?? 0
}
