import type { Queryable } from './database.js'

export interface Alert {
  key: string
  message: string
  since: Date
}

/** Notes what is wrong now; answers nothing, since what is to be told follows from the rows. */
export async function note(db: Queryable, found: { key: string; message: string }[], now: Date): Promise<void> {
  await db.query(
    `insert into alerts as a (key, message, since, seen_at)
     select key, message, $3, $3 from unnest($1::text[], $2::text[]) as f (key, message)
         on conflict (key) do update
        set message = excluded.message, seen_at = excluded.seen_at, cleared_at = null,
            since = case when a.cleared_at is null then a.since else excluded.since end`,
    [found.map(({ key }) => key), found.map(({ message }) => message), now],
  )
}

/** What was not found any more for `calmSeconds` is over; what nobody was told of is forgotten. */
export async function clearUnseen(db: Queryable, calmSeconds: number, now: Date): Promise<void> {
  const unseen = 'seen_at < $2::timestamptz - make_interval(secs => $1)'
  await db.query(`delete from alerts where told_at is null and ${unseen}`, [calmSeconds, now])
  await db.query(`update alerts set cleared_at = $2 where cleared_at is null and ${unseen}`, [calmSeconds, now])
}

/** Takes what has lasted long enough to be told, or is to be told again; one process gets each. */
export async function claimRaised(
  db: Queryable,
  { after_seconds, again_seconds, now }: { after_seconds: number; again_seconds: number; now: Date },
): Promise<(Alert & { reminder: boolean })[]> {
  const { rows } = await db.query<Alert & { reminder: boolean }>(
    `with due as (
       select key, told_at from alerts
        where cleared_at is null and since <= $3::timestamptz - make_interval(secs => $1)
          and (told_at is null or told_at <= $3::timestamptz - make_interval(secs => $2))
        for update skip locked)
     update alerts a set told_at = $3 from due where a.key = due.key
     returning a.key, a.message, a.since, due.told_at is not null as reminder`,
    [after_seconds, again_seconds, now],
  )
  return rows
}

/** Takes those whose all-clear is owed. */
export async function claimCleared(db: Queryable): Promise<Alert[]> {
  const { rows } = await db.query<Alert>(
    `delete from alerts where key in (select key from alerts where cleared_at is not null for update skip locked)
     returning key, message, since`,
  )
  return rows
}

/** It could not be told: the next round tries again. */
export async function giveBack(db: Queryable, alert: Alert, cleared: boolean, now: Date): Promise<void> {
  await db.query(
    `insert into alerts (key, message, since, seen_at, told_at, cleared_at)
     values ($1, $2, $3, $4::timestamptz, case when $5 then $4::timestamptz end, case when $5 then $4::timestamptz end)
         on conflict (key) do update set told_at = case when $5 then alerts.told_at end`,
    [alert.key, alert.message, alert.since, now, cleared],
  )
}
