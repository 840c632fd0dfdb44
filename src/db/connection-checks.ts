import type { Queryable } from './database.js'

/** A number the reconciler is to look at, with what it must know to do so. */
export interface Due {
  id: number
  server_instance: string
  instance_name: string
  engine_generation: number
  receive_groups: boolean
  status: string
  reconnecting: boolean
  last_event_at: Date | null
  problem: string | null
  missing: number
  restarts: number
  may_restart: boolean
  settings_at: Date | null
  applied: string | null
  /** Its sends fail as if it were not connected, and go on to: one that fails in the moment of a reconnect proves nothing. */
  sends_fail: boolean
}

export async function insert(tx: Queryable, phoneNumberId: number): Promise<void> {
  await tx.query('insert into connection_checks (phone_number_id) values ($1)', [phoneNumberId])
}

/**
 * Takes what is due on servers that are well, for `leaseSeconds`: numbers that are connected or reconnect by
 * themselves. The others wait for a scan or are gone, and are moved out of the way; `claimed` counts them too.
 */
export async function claimDue(
  db: Queryable,
  limit: number,
  leaseSeconds: number,
  now?: Date,
): Promise<{ claimed: number; due: Due[] }> {
  const { rows } = await db.query<Due>(
    `with due as (
       select phone_number_id from connection_checks where check_at <= coalesce($3, now())
        order by check_at limit $1 for update skip locked)
     update connection_checks c
        set check_at = case when p.deleted_at is not null then 'infinity'
                            when p.parked_at is not null then coalesce($3, now()) + interval '1 hour'
                            else coalesce($3, now()) + make_interval(secs => $2) end
       from due, phone_numbers p, servers s, lanes l
      where c.phone_number_id = due.phone_number_id and p.id = c.phone_number_id and s.name = p.server_instance
        and l.phone_number_id = p.id
     returning p.id, p.server_instance, p.instance_name, p.engine_generation, p.receive_groups,
               l.blocked_since is not null and l.blocked_reason = 'number_disconnected' and l.failures > 1 as sends_fail,
               p.status, p.reconnecting_since is not null as reconnecting, p.last_event_at, c.problem, c.missing, c.restarts,
               coalesce(c.restart_at <= coalesce($3, now()), true) as may_restart, c.settings_at, c.applied,
               p.deleted_at is null and p.parked_at is null and s.healthy is not false and s.state <> 'disabled'
                 and (p.status = 'connected' or p.status = 'disconnected' and p.status_reason = 'reconnecting') as ours`,
    [limit, leaseSeconds, now ?? null],
  )
  return { claimed: rows.length, due: (rows as (Due & { ours: boolean })[]).filter(({ ours }) => ours) }
}

export interface Outcome {
  phone_number_id: number
  /** Seconds until the next look. */
  next_seconds: number
  problem: string | null
  missing: number
  restarts: number
  /** Seconds without another restart; null leaves it. */
  no_restart_seconds: number | null
  /** Set when webhook and settings were read back or set just now. */
  applied: string | null
}

/** Writes many looks at once. */
export async function record(db: Queryable, outcomes: Outcome[], now?: Date): Promise<void> {
  if (outcomes.length === 0) return
  await db.query(
    `update connection_checks c
        set checked_at = coalesce($8, now()), check_at = coalesce($8, now()) + make_interval(secs => o.next_seconds),
            problem = o.problem, missing = o.missing, restarts = o.restarts,
            restart_at = case when o.no_restart is null then c.restart_at
                              else coalesce($8, now()) + make_interval(secs => o.no_restart) end,
            applied = coalesce(o.applied, c.applied),
            settings_at = case when o.applied is null then c.settings_at else coalesce($8, now()) end
       from unnest($1::bigint[], $2::double precision[], $3::text[], $4::integer[], $5::integer[],
                   $6::double precision[], $7::text[])
            as o (phone_number_id, next_seconds, problem, missing, restarts, no_restart, applied)
      where c.phone_number_id = o.phone_number_id`,
    [
      outcomes.map((o) => o.phone_number_id),
      outcomes.map((o) => o.next_seconds),
      outcomes.map((o) => o.problem),
      outcomes.map((o) => o.missing),
      outcomes.map((o) => o.restarts),
      outcomes.map((o) => o.no_restart_seconds),
      outcomes.map((o) => o.applied),
      now ?? null,
    ],
  )
}

/** A new life on the engine: its webhook and settings were just given to it. */
export async function begin(tx: Queryable, phoneNumberId: number, applied: string): Promise<void> {
  await tx.query(
    `update connection_checks
        set applied = $2, settings_at = now(), problem = null, missing = 0, restarts = 0, restart_at = null,
            check_at = now() + interval '1 minute'
      where phone_number_id = $1`,
    [phoneNumberId, applied],
  )
}

export async function noteApplied(db: Queryable, phoneNumberId: number, applied: string): Promise<void> {
  await db.query('update connection_checks set applied = $2, settings_at = now() where phone_number_id = $1', [
    phoneNumberId,
    applied,
  ])
}

/** To be looked at in the next round. */
export async function makeDue(db: Queryable, phoneNumberIds: number[]): Promise<void> {
  await db.query('update connection_checks set check_at = now() where phone_number_id = any($1::bigint[])', [
    phoneNumberIds,
  ])
}

/** After an outage all numbers of a server are looked at, spread over `seconds`. */
export async function makeServerDue(db: Queryable, serverInstance: string, seconds: number): Promise<void> {
  await db.query(
    `update connection_checks c set check_at = now() + random() * make_interval(secs => $2)
       from phone_numbers p
      where p.id = c.phone_number_id and p.server_instance = $1 and p.deleted_at is null and p.parked_at is null`,
    [serverInstance, seconds],
  )
}

/** Numbers that count as connected although their sends do not get through; newly found ones are due at once. */
export async function suspectClosed(db: Queryable, now?: Date): Promise<number[]> {
  const { rows } = await db.query<{ phone_number_id: number }>(
    `update connection_checks c
        set problem = 'connection_closed', check_at = least(c.check_at, coalesce($1, now()))
       from lanes l, phone_numbers p
      where l.blocked_since is not null and l.blocked_reason = 'number_disconnected' and l.failures > 1
        and c.phone_number_id = l.phone_number_id and c.problem is distinct from 'connection_closed'
        and p.id = l.phone_number_id and p.status = 'connected' and p.deleted_at is null
     returning c.phone_number_id`,
    [now ?? null],
  )
  return rows.map((row) => row.phone_number_id)
}

/**
 * Numbers that have been silent for twenty times as long as is usual for them, at least an hour: connected for a day,
 * and with messages in the last week to tell what is usual.
 */
export async function suspectSilent(db: Queryable, now?: Date): Promise<number[]> {
  const { rows } = await db.query<{ phone_number_id: number }>(
    `update connection_checks c
        set problem = 'silent', check_at = least(c.check_at, coalesce($1, now()))
       from (select p.id
               from phone_numbers p
              cross join lateral (
                select sum(s.messages_received) as n from message_stats s
                 where s.phone_number_id = p.id and s.date > (coalesce($1, now()) - interval '7 days')::date) week
              where p.status = 'connected' and p.deleted_at is null and p.reconnecting_since is null and week.n > 0
                and p.status_changed_at < coalesce($1, now()) - interval '1 hour'
                and p.last_received_at < coalesce($1, now())
                      - greatest(interval '1 hour', least(interval '7 days' / week.n * 20, interval '24 hours'))) quiet
      where c.phone_number_id = quiet.id and c.problem is null
        and (c.restart_at is null or c.restart_at <= coalesce($1, now()))
     returning c.phone_number_id`,
    [now ?? null],
  )
  return rows.map((row) => row.phone_number_id)
}

/** Numbers of which few messages are acknowledged: newly found ones are due at once. */
export async function suspectDegraded(db: Queryable, now?: Date): Promise<number[]> {
  const { rows } = await db.query<{ phone_number_id: number }>(
    `update connection_checks c
        set problem = 'no_acknowledgements', check_at = least(c.check_at, coalesce($1, now()))
       from phone_numbers p
      where p.id = c.phone_number_id and p.degraded_since is not null and p.status = 'connected'
        and p.deleted_at is null and c.problem is null
        and (c.restart_at is null or c.restart_at <= coalesce($1, now()))
     returning c.phone_number_id`,
    [now ?? null],
  )
  return rows.map((row) => row.phone_number_id)
}

export async function find(db: Queryable, phoneNumberId: number) {
  const { rows } = await db.query<{ checked_at: Date | null; problem: string | null }>(
    'select checked_at, problem from connection_checks where phone_number_id = $1',
    [phoneNumberId],
  )
  return rows[0]
}
