import type { Queryable } from './database.js'

/** A stretch of time whose messages one number may have missed. */
export interface Gap {
  id: number
  phone_number_id: number
  user_id: number
  display_name: string
  phone_number: string | null
  metadata: Record<string, unknown>
  server_instance: string
  engine_name: string
  from_at: Date
  until_at: Date
  attempts: number
}

export interface Outage {
  server_name: string
  from_at: Date
  until_at: Date
}

/** Notes which servers are well now; answers those that were not, or that nobody could ask, for longer than a moment. */
export async function noteSights(tx: Queryable, seconds: number): Promise<Outage[]> {
  const { rows } = await tx.query<Outage>(
    `select g.server_name, g.seen_at as from_at, s.checked_at as until_at
       from server_sights g join servers s on s.name = g.server_name
      where s.healthy and s.checked_at > g.seen_at + make_interval(secs => $1)
      order by g.server_name for update of g`,
    [seconds],
  )
  await tx.query(
    `insert into server_sights as g (server_name, seen_at)
     select name, checked_at from servers where healthy and checked_at is not null order by name
         on conflict (server_name) do update set seen_at = greatest(g.seen_at, excluded.seen_at)`,
  )
  return rows
}

/** Fetched when it is over: what comes after that would be taken for fetched too. */
const WIDER = `from_at = least(g.from_at, excluded.from_at), until_at = greatest(g.until_at, excluded.until_at),
  due_at = greatest(least(g.due_at, excluded.due_at), g.until_at, excluded.until_at),
  server_instance = excluded.server_instance`

/**
 * Every number of the server that was ever connected may have missed something; `marginSeconds` for events in flight. It
 * has all tries before it, other than with sockets that come and go.
 */
export async function openForServer(tx: Queryable, outage: Outage, marginSeconds: number): Promise<number> {
  const { rowCount } = await tx.query(
    `insert into gaps as g (phone_number_id, server_instance, from_at, until_at, due_at)
     select id, server_instance, $2::timestamptz - make_interval(secs => $4), $3, now()
       from phone_numbers
      where server_instance = $1 and deleted_at is null and parked_at is null and status in ('connected', 'disconnected')
        and first_connected_at is not null
        and (status = 'connected' or status_changed_at > $2::timestamptz - make_interval(secs => $4))
      order by id
         on conflict on constraint gaps_phone_number_key do update set ${WIDER}, attempts = 0`,
    [outage.server_name, outage.from_at, outage.until_at, marginSeconds],
  )
  return rowCount ?? 0
}

/** A number whose socket was opened anew: what came shortly before may have been lost with the engine's memory. False for its first. */
export async function openForInstance(
  db: Queryable,
  instanceNames: string[],
  { back_seconds, settle_seconds }: { back_seconds: number; settle_seconds: number },
): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into gaps as g (phone_number_id, server_instance, from_at, until_at, due_at)
     select id, server_instance, greatest(now() - make_interval(secs => $2), first_connected_at),
            now() + make_interval(secs => $3), now() + make_interval(secs => $3)
       from phone_numbers
      where instance_name = any($1) and deleted_at is null and parked_at is null and first_connected_at < now() - interval '1 minute'
         on conflict on constraint gaps_phone_number_key do update set ${WIDER}`,
    [instanceNames, back_seconds, settle_seconds],
  )
  return rowCount! > 0
}

const columns = `g.id, g.phone_number_id, p.user_id, p.display_name, p.phone_number, p.metadata, g.server_instance,
  engine_name(p.instance_name, p.engine_generation) as engine_name, g.from_at, g.until_at, g.attempts`

/** Takes the oldest due gap of each healthy server that is not `busy`, for `leaseSeconds`. */
export async function claimDue(
  db: Queryable,
  now: Date | null,
  leaseSeconds: number,
  busy: string[] = [],
): Promise<Gap[]> {
  const { rows } = await db.query<Gap>(
    `with due as (
       select g.id
         from servers s
        cross join lateral (
          select id from gaps where server_instance = s.name and due_at <= greatest($1, now())
           order by due_at, id limit 1 for update skip locked) g
        where s.healthy is not false and s.state <> 'disabled' and s.name <> all($3::text[]))
     update gaps g
        set due_at = greatest($1, now()) + make_interval(secs => $2), attempts = g.attempts + 1
       from due, phone_numbers p
      where g.id = due.id and p.id = g.phone_number_id
     returning ${columns}`,
    [now, leaseSeconds, busy],
  )
  return rows
}

/** Takes away what has been due for so long, of servers that are out of use or have been away for as long. */
export async function takeHopeless(tx: Queryable, now: Date | null, seconds: number, limit: number): Promise<Gap[]> {
  const { rows } = await tx.query<Gap>(
    `with hopeless as (
       select g.id from gaps g join servers s on s.name = g.server_instance
        where g.due_at < greatest($1, now()) - make_interval(secs => $2)
          and (s.state = 'disabled' or s.down_since < greatest($1, now()) - make_interval(secs => $2))
        order by g.id limit $3 for update of g skip locked)
     delete from gaps g using hopeless, phone_numbers p
      where g.id = hopeless.id and p.id = g.phone_number_id
     returning ${columns}`,
    [now, seconds, limit],
  )
  return rows
}

/**
 * Takes away what a number may still have missed whose instance is taken off its server; of a live one (`alive`) also
 * the time since the server was last well, when that is over `outageSeconds` ago.
 */
export async function takeOfNumber(
  tx: Queryable,
  number: { id: number; server_instance: string; alive: boolean },
  { outageSeconds, marginSeconds }: { outageSeconds: number; marginSeconds: number },
): Promise<{ from_at: Date; until_at: Date } | undefined> {
  const { rows } = await tx.query<{ from_at: Date | null; until_at: Date }>(
    `with open as (
       delete from gaps where phone_number_id = $1 returning from_at, least(until_at, now()) as until_at),
     unseen as (
       select seen_at - make_interval(secs => $5) as from_at, now() as until_at from server_sights
        where server_name = $2 and $3 and seen_at < now() - make_interval(secs => $4))
     select min(from_at) as from_at, max(until_at) as until_at
       from (select * from open union all select * from unseen) missed`,
    [number.id, number.server_instance, number.alive, outageSeconds, marginSeconds],
  )
  const [missed] = rows
  return missed?.from_at ? { from_at: missed.from_at, until_at: missed.until_at } : undefined
}

/** Done with it, unless it has become wider meanwhile: then the rest of it is due. False when it was taken away meanwhile. */
export async function close(tx: Queryable, gap: Pick<Gap, 'id' | 'from_at' | 'until_at'>): Promise<boolean> {
  // What was read of it has no microseconds.
  const closed = await tx.query(
    `delete from gaps where id = $1 and from_at >= $2 and date_trunc('milliseconds', until_at) <= $3`,
    [gap.id, gap.from_at, gap.until_at],
  )
  if (closed.rowCount === 1) return true
  const { rowCount } = await tx.query(
    'update gaps set due_at = greatest(now(), until_at), attempts = 0 where id = $1',
    [gap.id],
  )
  return rowCount === 1
}

export async function postpone(db: Queryable, id: number, dueAt: Date): Promise<void> {
  await db.query('update gaps set due_at = greatest($2, until_at) where id = $1', [id, dueAt])
}

/** Nobody is told what a deleted number missed. */
export async function forget(tx: Queryable, phoneNumberId: number): Promise<void> {
  await tx.query('delete from gaps where phone_number_id = $1', [phoneNumberId])
}
