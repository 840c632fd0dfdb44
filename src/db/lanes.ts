import type { Queryable } from './database.js'
import * as outgoing from './outgoing-messages.js'

export interface Lane {
  phone_number_id: number
  in_flight: number | null
  ready_at: Date
  due_at: Date | null
  blocked_reason: string | null
  paused: boolean
  closed: boolean
  restricted_until: Date | null
}

const columns = 'phone_number_id, in_flight, ready_at, due_at, blocked_reason, paused, closed, restricted_until'

/** Locks lanes in id order, the order everybody uses. */
export async function lock(tx: Queryable, phoneNumberIds: number[]): Promise<Lane[]> {
  if (phoneNumberIds.length === 0) return []
  const { rows } = await tx.query<Lane>(
    `select ${columns}
       from lanes where phone_number_id = any($1::bigint[])
      order by phone_number_id for update`,
    [phoneNumberIds],
  )
  return rows
}

/** Writes what entered the lanes: a message in flight, or only something to look for. */
export async function enter(
  tx: Queryable,
  entries: { phone_number_id: number; in_flight: number | null; queued: boolean }[],
): Promise<void> {
  if (entries.length === 0) return
  await tx.query(
    `update lanes l
        set in_flight = coalesce(e.in_flight, l.in_flight),
            due_at = case when not e.queued then l.due_at
                          when l.blocked_reason is null then now()
                          else coalesce(l.due_at, now()) end
       from unnest($1::bigint[], $2::bigint[], $3::boolean[]) as e (phone_number_id, in_flight, queued)
      where l.phone_number_id = e.phone_number_id`,
    [entries.map((e) => e.phone_number_id), entries.map((e) => e.in_flight), entries.map((e) => e.queued)],
  )
}

/** A message is claimed so long before its gap is over, not earlier: until then it can be paused, canceled and purged. */
export const EARLY_SECONDS = 2

export interface Release {
  phone_number_id: number
  message_id: number
  /** Jitter of the gap before the next message: 1 is the gap as set. */
  gap_factor: number
  /** Why the lane must wait; null: the send got through to WhatsApp's side and the lane flows. */
  blocked_reason: string | null
}

/** Back-off after sends that did not get through: 1, 2, 5, 10, 30, then 60 s. */
const backoff = `(array[1, 2, 5, 10, 30, 60])[least(l.failures + 1, 6)]`

/**
 * Frees lanes whose message is settled and takes the next one of those that flow, for `process_id` (null: for nobody).
 * One whose number lost its connection meanwhile stays blocked. The lanes must be locked.
 */
export async function moveOn(
  tx: Queryable,
  releases: Release[],
  options: { gap_seconds: number; process_id: number | null },
): Promise<outgoing.Claimed[]> {
  const { rows } = await tx.query<outgoing.Claimed>(
    `with freed as (
       select l.phone_number_id, r.blocked_reason, l.restricted_until, l.due_at = 'infinity' as disconnected,
              now() + make_interval(secs => r.gap_factor * coalesce(l.gap_seconds, $5)) as ready_at,
              $6::bigint is not null and r.blocked_reason is null and l.held_reason is null
              and l.due_at is distinct from 'infinity' and not l.paused and not l.closed
              and r.gap_factor * coalesce(l.gap_seconds, $5) <= ${EARLY_SECONDS} as flows
         from lanes l
         join unnest($1::bigint[], $2::bigint[], $3::double precision[], $4::text[])
              as r (phone_number_id, message_id, gap_factor, blocked_reason)
              on l.phone_number_id = r.phone_number_id and l.in_flight = r.message_id),
     flowing as (select * from freed where flows),
     ${outgoing.claimNext('flowing', '$6')},
     moved as (
       update lanes l
          set in_flight = c.id, ready_at = f.ready_at,
              blocked_reason = case when f.disconnected then l.blocked_reason
                                    else coalesce(f.blocked_reason, l.held_reason) end,
              blocked_since = case when f.disconnected then l.blocked_since
                                   when f.blocked_reason is null and l.held_reason is null then null
                                   else coalesce(l.blocked_since, now()) end,
              failures = case when f.blocked_reason is null then 0 else l.failures + 1 end,
              due_at = case when f.disconnected then l.due_at
                            when f.blocked_reason is not null then now() + make_interval(secs => ${backoff})
                            when c.id is not null or not f.flows then now()
                            when f.restricted_until > now() then f.restricted_until end
         from freed f left join claimed c using (phone_number_id)
        where l.phone_number_id = f.phone_number_id)
     select * from claimed`,
    [
      releases.map((r) => r.phone_number_id),
      releases.map((r) => r.message_id),
      releases.map((r) => r.gap_factor),
      releases.map((r) => r.blocked_reason),
      options.gap_seconds,
      options.process_id,
    ],
  )
  return rows
}

/** Locks lanes whose time has come and that nobody else is looking at. */
export async function lockDue(tx: Queryable, limit: number): Promise<Lane[]> {
  const { rows } = await tx.query<Lane>(
    `select ${columns}
       from lanes
      where in_flight is null and due_at <= now() and not paused and not closed
        and ready_at <= now() + interval '${EARLY_SECONDS} seconds'
      order by due_at limit $1 for update skip locked`,
    [limit],
  )
  return rows
}

/**
 * Takes the next message of each of these locked lanes for a process; no more due time where nothing is found, and no
 * more block, but that of a connection which does not carry sends: who mends it goes by that. A lane that says nothing is
 * in flight though something is would fail the rest, and is left alone.
 */
export async function takeNext(tx: Queryable, processId: number, lanes: Lane[]): Promise<outgoing.Claimed[]> {
  if (lanes.length === 0) return []
  const { rows } = await tx.query<outgoing.Claimed>(
    `with due as (
       select phone_number_id, ready_at, restricted_until,
              blocked_since is not null and blocked_reason = 'number_disconnected' and failures > 1 as closed from lanes l
        where phone_number_id = any($1::bigint[])
          and not exists (select 1 from messages m where m.phone_number_id = l.phone_number_id and m.status = 'sending')),
     ${outgoing.claimNext('due', '$2')},
     moved as (
       update lanes l
          set in_flight = c.id,
              blocked_reason = case when c.id is not null or due.closed then l.blocked_reason end,
              blocked_since = case when c.id is not null or due.closed then l.blocked_since end,
              failures = case when c.id is not null or due.closed then l.failures else 0 end,
              due_at = case when c.id is not null then l.due_at
                            when l.restricted_until > now() and due.closed then least(l.restricted_until, now() + interval '1 minute')
                            when l.restricted_until > now() then l.restricted_until end
         from due left join claimed c using (phone_number_id)
        where l.phone_number_id = due.phone_number_id)
     select * from claimed`,
    [lanes.map((l) => l.phone_number_id), processId],
  )
  return rows
}

/** Frees the lanes that held messages of dead processes. */
export async function releaseAbandoned(
  tx: Queryable,
  messages: { id: number; phone_number_id: number }[],
): Promise<void> {
  if (messages.length === 0) return
  await tx.query(
    `update lanes set in_flight = null, due_at = case when due_at = 'infinity' then due_at else now() end
      where phone_number_id = any($1::bigint[]) and in_flight = any($2::bigint[])`,
    [messages.map((m) => m.phone_number_id), messages.map((m) => m.id)],
  )
}

/** What waits in these lanes is to be looked for now. */
export async function makeDue(tx: Queryable, phoneNumberIds: number[]): Promise<void> {
  if (phoneNumberIds.length === 0) return
  await tx.query(
    `update lanes set due_at = case when blocked_reason is null then now() else coalesce(due_at, now()) end
      where phone_number_id = any($1::bigint[]) and not closed`,
    [phoneNumberIds],
  )
}

export async function setGap(tx: Queryable, phoneNumberId: number, seconds: number | null): Promise<void> {
  await tx.query('update lanes set gap_seconds = $2 where phone_number_id = $1', [phoneNumberId, seconds])
}

export interface LaneView extends Lane {
  blocked_since: Date | null
  gap_seconds: number | null
}

export async function find(db: Queryable, phoneNumberId: number): Promise<LaneView | undefined> {
  const { rows } = await db.query<LaneView>(
    `select ${columns}, blocked_since, gap_seconds from lanes where phone_number_id = $1`,
    [phoneNumberId],
  )
  return rows[0]
}
