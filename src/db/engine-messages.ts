import type { Queryable } from './database.js'

/**
 * Deletes some of the messages that Evolution keeps in its own schema of this database; what hangs on them goes along.
 * Answers how many, 0 also when Evolution keeps its tables elsewhere. There is no index on the time, but the oldest
 * rows lie at the front of the table, so that only the last batch of a round reads all of it.
 */
export async function prune(db: Queryable, days: number, batch: number, now: Date | null): Promise<number> {
  const { rows } = await db.query<{ there: boolean }>(
    `select to_regclass('evolution_api."Message"') is not null as there`,
  )
  if (!rows[0]!.there) return 0
  const { rowCount } = await db.query(
    `delete from evolution_api."Message" where id in (
       select id from evolution_api."Message"
        where "messageTimestamp" < extract(epoch from coalesce($3, now())) - $1::integer * 86400
        limit $2 for update skip locked)`,
    [days, batch, now],
  )
  return rowCount ?? 0
}
