import type { Queryable } from './database.js'
import { type Changed, type Message, columnsOf, step } from './messages.js'

/** The outgoing half of messages: from acceptance to the outcome of the send. */
export interface NewOutgoing {
  id: number
  draft: Outgoing
  /** Set: it starts at once in this process; absent: it waits in its lane. */
  claim?: Claim
}

export interface Claim {
  process_id: number
  starts_at: Date
}

export interface Outgoing {
  user_id: number
  phone_number_id: number
  /** Of the instance it goes out through when it starts at once. */
  generation: number
  type: string
  recipient: string
  content: Record<string, unknown>
  fingerprint: Buffer
  reply_to: string | null
  priority: number
  ttl_seconds: number
  on_ambiguous: 'keep' | 'retry'
  quota_day: string
  send_at: Date | null
  retry_of: number | null
}

/** Ids for messages to come, the last one first; within a lane their order is that of sending. */
export async function takeIds(tx: Queryable, count: number): Promise<number[]> {
  if (count === 0) return []
  const { rows } = await tx.query<{ id: number }>(
    `select nextval('messages_id_seq') as id from generate_series(1, $1)`,
    [count],
  )
  return rows.map((row) => row.id).sort((a, b) => b - a)
}

/**
 * Stores messages of the API. The detour of the ids hides from the planner how many there are: else it makes a plan of its
 * own for each lone message, which takes longer than storing it.
 */
export async function insertOutgoing(tx: Queryable, messages: NewOutgoing[]): Promise<void> {
  if (messages.length === 0) return
  await tx.query(
    `insert into messages (id, user_id, phone_number_id, direction, source, type, recipient, content, fingerprint, reply_to,
                           priority, ttl_seconds, on_ambiguous, quota_day, send_at, scheduled_for, retry_of, status,
                           attempts, process_id, starts_at, generation, new_contact, history)
     overriding system value
     select id, user_id, phone_number_id, 'outgoing', 'api', type, recipient, content, fingerprint, reply_to, priority,
            ttl_seconds, on_ambiguous, quota_day, send_at, send_at, retry_of,
            case when process_id is null then 'queued' else 'sending' end,
            case when process_id is null then 0 else 1 end, process_id, starts_at, generation,
            recipient not like '%@g.us' and not exists (
              select 1 from messages i where i.phone_number_id = m.phone_number_id and i.recipient = m.recipient
                                         and i.direction = 'incoming' offset 0), -- one by one, not by a list of all
            ${step("'queued'")} || case when process_id is null then '[]' else ${step("'sending'")} end
       from unnest(array(select unnest($1::bigint[])), $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::bytea[],
                   $8::text[], $9::smallint[], $10::integer[], $11::text[], $12::date[], $13::timestamptz[],
                   $14::bigint[], $15::bigint[], $16::timestamptz[], $17::integer[])
            as m (id, user_id, phone_number_id, type, recipient, content, fingerprint, reply_to, priority, ttl_seconds,
                  on_ambiguous, quota_day, send_at, retry_of, process_id, starts_at, generation)`,
    [
      messages.map((m) => m.id),
      messages.map((m) => m.draft.user_id),
      messages.map((m) => m.draft.phone_number_id),
      messages.map((m) => m.draft.type),
      messages.map((m) => m.draft.recipient),
      messages.map((m) => JSON.stringify(m.draft.content)),
      messages.map((m) => m.draft.fingerprint),
      messages.map((m) => m.draft.reply_to),
      messages.map((m) => m.draft.priority),
      messages.map((m) => m.draft.ttl_seconds),
      messages.map((m) => m.draft.on_ambiguous),
      messages.map((m) => m.draft.quota_day),
      messages.map((m) => m.draft.send_at),
      messages.map((m) => m.draft.retry_of),
      messages.map((m) => m.claim?.process_id ?? null),
      messages.map((m) => m.claim?.starts_at ?? null),
      messages.map((m) => (m.claim ? m.draft.generation : null)),
    ],
  )
}

/** A message in the hands of a process, as far as it takes to settle it. */
export interface Held {
  id: number
  user_id: number
  phone_number_id: number
  process_id: number
  attempts: number
  engine_errors: number
}

/** A message a process has taken to send, with what it takes to reach the engine. */
export interface Claimed extends Held {
  type: string
  recipient: string
  content: Record<string, unknown>
  reply_to: string | null
  starts_at: Date
  engine_name: string
  server_instance: string
}

/**
 * The parts of a statement that take the next message of each lane for a process, as `claimed`. `lanes` names their
 * lanes, which must be locked and have nothing in flight: phone_number_id, ready_at and restricted_until.
 */
export const claimNext = (lanes: string, processId: string) => `
     next as (
       select m.id, l.ready_at
         from ${lanes} l
        cross join lateral (
          select id from messages
           where phone_number_id = l.phone_number_id and status = 'queued' and send_at is null
             and (not new_contact or l.restricted_until is null or l.restricted_until <= now())
           order by priority, id limit 1) m),
     claimed as (
       update messages m
          set status = 'sending', attempts = m.attempts + 1, process_id = ${processId}, updated_at = now(),
              starts_at = greatest(now(), next.ready_at), generation = p.engine_generation,
              history = m.history || ${step("'sending'")}
         from next, phone_numbers p
        where m.id = next.id and p.id = m.phone_number_id
       returning m.id, m.user_id, m.phone_number_id, m.process_id, m.attempts, m.engine_errors, m.type, m.recipient,
                 m.content, m.reply_to, m.starts_at, p.server_instance,
                 engine_name(p.instance_name, p.engine_generation) as engine_name)`

export interface Outcome {
  id: number
  /** Whose claim this outcome belongs to, and which one: a late one is refused. */
  process_id: number
  attempts: number
  status: 'sent' | 'failed' | 'queued' | 'unconfirmed'
  whatsapp_id: string | null
  error_code: string | null
  error_message: string | null
  engine_error: boolean
}

/** A message with its outcome, as its caller sees it and with what follows from it. */
export type Ended = Message & Changed

/** It was queued again before this try as well: that is told once, not every minute of a long outage. */
const waitedBefore = `m.history -> -2 ->> 'status' = 'queued' and m.history -> -3 ->> 'status' = 'sending'`

/**
 * Writes the outcomes of sends that are still their claim's; answers the messages that were written. The state is
 * compared in a way no index can serve: those of what is in flight are full of the dead, and the planner would take one.
 */
export async function settle(tx: Queryable, outcomes: Outcome[]): Promise<Ended[]> {
  const { rows } = await tx.query<Ended>(
    `update messages m
        set status = o.status, error_code = o.error_code, error_message = o.error_message, updated_at = now(),
            whatsapp_id = coalesce(o.whatsapp_id, m.whatsapp_id),
            sent_at = case when o.status = 'sent' then now() else m.sent_at end,
            reconcile_at = case when o.status = 'unconfirmed' then now() end,
            engine_errors = case when o.engine_error then m.engine_errors + 1 else 0 end,
            refunded = m.refunded or o.status = 'failed',
            history = case when o.status = 'queued' and ${waitedBefore} then m.history - -1
                           else m.history || ${step('o.status', 'o.error_code')} end
       from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[])
            as o (id, process_id, attempts, status, whatsapp_id, error_code, error_message, engine_error)
      where m.id = o.id and m.process_id + 0 = o.process_id and m.attempts = o.attempts
        and case m.status when 'sending' then true when 'unconfirmed' then o.status = 'sent' else false end
     returning ${columnsOf('m')}, m.quota_day, m.new_contact,
               (select time_zone from users where id = m.user_id) as time_zone,
               (select display_name from phone_numbers where id = m.phone_number_id) as display_name,
               (select phone_number from phone_numbers where id = m.phone_number_id) as phone_number,
               (select metadata from phone_numbers where id = m.phone_number_id) as metadata`,
    [
      outcomes.map((o) => o.id),
      outcomes.map((o) => o.process_id),
      outcomes.map((o) => o.attempts),
      outcomes.map((o) => o.status),
      outcomes.map((o) => o.whatsapp_id),
      outcomes.map((o) => o.error_code),
      outcomes.map((o) => o.error_message),
      outcomes.map((o) => o.engine_error),
    ],
  )
  return rows
}

/** Forgets what the engine told of our own send as of one from the phone: it cannot be both. */
export async function forgetEcho(db: Queryable, phoneNumberId: number, whatsappId: string | null): Promise<boolean> {
  const { rowCount } = await db.query(
    `delete from messages where phone_number_id = $1 and whatsapp_id = $2 and source = 'phone'`,
    [phoneNumberId, whatsappId],
  )
  return rowCount !== 0
}
