import type { Queryable } from './database.js'

/** Nothing more happens to these within a day; also `unconfirmed`, which is looked for no longer than that. */
const FINAL = `('sent', 'delivered', 'read', 'failed', 'unconfirmed', 'expired', 'canceled', 'received')`

/**
 * Empties what old messages say, a stretch of ids at a time. Answers how far it came; short of a full stretch it has
 * met the first message that is young enough.
 */
export async function emptyBodies(db: Queryable, afterId: number, days: number, batch: number) {
  const { rows } = await db.query<{ last: number | null; n: number }>(
    `with stretch as (
       select id, created_at, status from messages where id > $1 order by id limit $3),
     old as (
       select id, status from stretch where created_at < now() - make_interval(days => $2)),
     emptied as (
       update messages m set content = '{}', fingerprint = null
         from old where m.id = old.id and old.status in ${FINAL})
     select max(id) as last, count(*) as n from old`,
    [afterId, days, batch],
  )
  return { last: rows[0]!.last ?? afterId, full: rows[0]!.n === batch }
}

export async function deleteMessages(db: Queryable, days: number, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `delete from messages where id in (
       select id from (select id, created_at, status from messages order by id limit $2) stretch
        where created_at < now() - make_interval(days => $1) and status in ${FINAL})`,
    [days, batch],
  )
  return rowCount ?? 0
}

/** The bytes go with the message's last state; this finds what was left over. */
export async function deleteMedia(db: Queryable, days: number, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `delete from media where message_id in (
       select f.message_id
         from (select message_id, created_at from media order by message_id limit $2) f
         join messages m on m.id = f.message_id
        where f.created_at < now() - make_interval(days => $1) and m.status in ${FINAL})`,
    [days, batch],
  )
  return rowCount ?? 0
}

export async function findMark(db: Queryable, name: string): Promise<number> {
  const { rows } = await db.query<{ position: number }>('select position from prune_marks where name = $1', [name])
  return rows[0]?.position ?? 0
}

export async function saveMark(db: Queryable, name: string, position: number): Promise<void> {
  await db.query(
    `insert into prune_marks as m (name, position) values ($1, $2)
         on conflict (name) do update set position = greatest(m.position, excluded.position)`,
    [name, position],
  )
}
