import type { Queryable } from './database.js'

/** Nothing more will come of it, as far as anybody can know. */
const isOver = (m: string) =>
  `(${m}.status in ('sent', 'delivered', 'read', 'failed', 'expired', 'canceled', 'received')
    or ${m}.status = 'unconfirmed' and ${m}.reconcile_at is null)`
const EMPTY = `content = '{}', fingerprint = null`

interface Age {
  days: number
  batch: number
  now: Date | null
}

/**
 * Empties what old messages say, a stretch of ids at a time; those that are not over are noted. Answers how far it
 * came; short of a full stretch it has met the first message that is young enough.
 */
export async function emptyBodies(db: Queryable, afterId: number, { days, batch, now }: Age) {
  const { rows } = await db.query<{ last: number | null; n: number }>(
    `with stretch as (
       select id, created_at < coalesce($4, now()) - make_interval(days => $2) as is_old
         from messages where id > $1 order by id limit $3),
     old as (
       select id from stretch where id < coalesce((select min(id) from stretch where not is_old), 9223372036854775807)),
     emptied as (
       update messages m set ${EMPTY} from old where m.id = old.id and ${isOver('m')} returning m.id),
     noted as (
       insert into unemptied_messages select id from old except select id from emptied on conflict do nothing)
     select max(id) as last, count(*) as n from old`,
    [afterId, days, batch, now],
  )
  return { last: rows[0]!.last ?? afterId, full: rows[0]!.n === batch }
}

/** Empties those that were noted and are over now; answers how many. */
export async function emptyLeftOver(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `with over as (
       delete from unemptied_messages where message_id in (
         select u.message_id from unemptied_messages u join messages m on m.id = u.message_id
          where ${isOver('m')} limit $1)
       returning message_id)
     update messages m set ${EMPTY} from over where m.id = over.message_id`,
    [batch],
  )
  return rowCount ?? 0
}

/** Deletes old messages that are over, a stretch of ids at a time. Answers where to go on, undefined at the first young one. */
export async function deleteMessages(db: Queryable, afterId: number, age: Age): Promise<number | undefined> {
  return deleteStretch(db, 'messages', 'id', afterId, age)
}

/** The bytes go with the message's last state; this finds what was left over. As `deleteMessages`. */
export async function deleteMedia(db: Queryable, afterId: number, age: Age): Promise<number | undefined> {
  return deleteStretch(db, 'media', 'message_id', afterId, age)
}

async function deleteStretch(
  db: Queryable,
  table: 'messages' | 'media',
  key: 'id' | 'message_id',
  afterId: number,
  { days, batch, now }: Age,
): Promise<number | undefined> {
  const { rows } = await db.query<{ last: number | null; n: number }>(
    `with stretch as (
       select ${key} as id, created_at from ${table} where ${key} > $1 order by ${key} limit $3),
     old as (
       select id from stretch where created_at < coalesce($4, now()) - make_interval(days => $2)),
     gone as (
       delete from ${table} where ${key} in (
         select m.id from old join messages m on m.id = old.id where ${isOver('m')}))
     select max(id) as last, count(*) as n from old`,
    [afterId, days, batch, now],
  )
  return rows[0]!.n === batch ? rows[0]!.last! : undefined
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
