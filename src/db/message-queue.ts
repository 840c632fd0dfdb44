import type { Queryable } from './database.js'
import { type Changed, changed, step, withId } from './messages.js'

/** A message that still waits to be sent: in its lane, or for the time it is scheduled for. */
export interface Waiting {
  id: number
  phone_number_id: number
}

/** Ends messages that still wait, for `status` and its reason; answers those that did. Their lanes must be locked. */
export async function endQueued(
  tx: Queryable,
  ids: number[],
  end: { status: 'canceled' | 'expired'; code: string; message: string },
): Promise<Changed[]> {
  if (ids.length === 0) return []
  const { rows } = await tx.query<Changed>(
    `update messages m
        set status = $2, error_code = $3, error_message = $4, refunded = true, updated_at = now(),
            history = m.history || ${step('$2::text', '$3::text')}
       from users u, phone_numbers p
      where m.id = any($1::bigint[]) and m.status = 'queued' and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [ids, end.status, end.code, end.message],
  )
  return rows
}

export async function listQueued(db: Queryable, phoneNumberId: number, limit: number): Promise<Waiting[]> {
  const { rows } = await db.query<Waiting>(
    `(select id, phone_number_id from messages
       where phone_number_id = $1 and status = 'queued' and send_at is null limit $2)
      union all
     (select id, phone_number_id from messages
       where phone_number_id = $1 and status = 'queued' and send_at is not null limit $2)`,
    [phoneNumberId, limit],
  )
  return rows
}

/**
 * Messages whose time to live is over. It runs only while their lane is blocked, from the latest of their acceptance,
 * the time they were scheduled for, and the beginning of the outage.
 */
export async function listExpired(db: Queryable, limit: number, now?: Date): Promise<Waiting[]> {
  const { rows } = await db.query<Waiting>(
    `select m.id, m.phone_number_id
       from lanes l
       join messages m on m.phone_number_id = l.phone_number_id and m.status = 'queued' and m.send_at is null
      where l.blocked_since is not null
        and greatest(m.created_at, m.scheduled_for, l.blocked_since) + make_interval(secs => m.ttl_seconds)
            < coalesce($2, now())
      limit $1`,
    [limit, now ?? null],
  )
  return rows
}

/** Scheduled messages whose time has come, and their lanes. */
export async function listScheduledDue(db: Queryable, limit: number, now?: Date) {
  const { rows } = await db.query<{ id: number; phone_number_id: number }>(
    `select id, phone_number_id from messages
      where status = 'queued' and send_at <= coalesce($2, now()) order by send_at limit $1`,
    [limit, now ?? null],
  )
  return rows
}

/** Lets those of these messages into their locked lanes whose time is still come; answers how many. */
export async function releaseScheduled(tx: Queryable, ids: number[], now?: Date): Promise<number> {
  const { rowCount } = await tx.query(
    `update messages set send_at = null
      where id = any($1::bigint[]) and status = 'queued' and send_at <= coalesce($2, now())`,
    [ids, now ?? null],
  )
  return rowCount ?? 0
}

/** Moves a message that is still scheduled; false when it is not. */
export async function reschedule(tx: Queryable, id: number, sendAt: Date, quotaDay: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update messages set send_at = $2, scheduled_for = $2, quota_day = $3, updated_at = now()
      where id = $1 and status = 'queued' and send_at is not null`,
    [id, sendAt, quotaDay],
  )
  return rowCount === 1
}

export async function findScheduled(tx: Queryable, userId: number, id: number) {
  const { rows } = await tx.query<{ quota_day: string; send_at: Date | null; status: string }>(
    `select quota_day, send_at, status from messages
      where id in (select id from ${withId('$2')} m where m.user_id = $1) for update`,
    [userId, id],
  )
  return rows[0]
}

export interface QueueState {
  queued: number
  scheduled: number
  oldest_at: Date | null
}

export async function queueState(db: Queryable, phoneNumberId: number): Promise<QueueState> {
  const { rows } = await db.query<QueueState>(
    // Two questions, so that each has its partial index.
    `select q.queued, q.oldest_at, s.scheduled
       from (select count(*) as queued, min(created_at) as oldest_at
               from messages where phone_number_id = $1 and status = 'queued' and send_at is null) q,
            (select count(*) as scheduled
               from messages where phone_number_id = $1 and status = 'queued' and send_at is not null) s`,
    [phoneNumberId],
  )
  return rows[0]!
}

/**
 * Somebody we wrote to has written back: what waits for them is no new conversation any more. Answers the numbers where
 * something did. Found by recipient, or all that is queued anywhere may be read.
 */
export async function markKnown(
  tx: Queryable,
  contacts: { user_id: number; phone_number_id: number; recipient: string }[],
): Promise<number[]> {
  if (contacts.length === 0) return []
  const { rows } = await tx.query<{ phone_number_id: number }>(
    `with waiting as (
       select distinct w.id
         from unnest($1::bigint[], $2::text[], $3::bigint[]) as c (phone_number_id, recipient, user_id)
        cross join lateral (
          select * from messages where user_id = c.user_id and recipient = c.recipient offset 0) w
        where w.phone_number_id = c.phone_number_id and w.status = 'queued' and w.new_contact)
     update messages m set new_contact = false from waiting where m.id = waiting.id returning m.phone_number_id`,
    [contacts.map((c) => c.phone_number_id), contacts.map((c) => c.recipient), contacts.map((c) => c.user_id)],
  )
  return [...new Set(rows.map(({ phone_number_id }) => phone_number_id))]
}
