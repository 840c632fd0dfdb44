import type { Queryable } from './database.js'

/** Rows are written by a trigger of phone_numbers (migrations/0008_pool.sql). */
export interface StatusChange {
  id: number
  status: string
  reason: string | null
  changed_at: Date
}

export async function list(
  db: Queryable,
  phoneNumberId: number,
  page: { before?: number; limit: number },
): Promise<StatusChange[]> {
  const { rows } = await db.query<StatusChange>(
    `select id, status, reason, changed_at from status_changes
      where phone_number_id = $1 and id < $2 order by id desc limit $3`,
    [phoneNumberId, page.before ?? Number.MAX_SAFE_INTEGER, page.limit],
  )
  return rows
}

/** The share of the last `hours` in which the number was connected, since its first connection; null before that. */
export async function uptime(db: Queryable, phoneNumberId: number, hours: number, now?: Date): Promise<number | null> {
  const { rows } = await db.query<{ share: number | null }>(
    `with bounds as (
       select greatest(p.first_connected_at, coalesce($3, now()) - make_interval(hours => $2)) as since,
              coalesce($3, now()) as until
         from phone_numbers p where p.id = $1),
     spans as (
       select status, changed_at as began, lead(changed_at) over (order by id) as ended
         from status_changes where phone_number_id = $1)
     select extract(epoch from sum(least(coalesce(ended, until), until) - greatest(began, since))
                      filter (where status = 'connected' and coalesce(ended, until) > since and began < until))
            / nullif(extract(epoch from min(until) - min(since)), 0)::double precision as share
       from bounds left join spans on true`,
    [phoneNumberId, hours, now ?? null],
  )
  const share = rows[0]?.share ?? null
  return share === null ? null : Math.round(share * 10_000) / 10_000
}

/** Deletes old ones in a batch, but never the last of a number; answers how many. */
export async function prune(db: Queryable, days: number, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `delete from status_changes where id in (
       select c.id from status_changes c
        where c.changed_at < now() - make_interval(days => $1)
          and exists (select 1 from status_changes n where n.phone_number_id = c.phone_number_id and n.id > c.id
                        and n.changed_at < now() - make_interval(days => $1))
        limit $2)`,
    [days, batch],
  )
  return rowCount ?? 0
}
