import type { Queryable } from './database.js'

export type MessageStatus =
  'queued' | 'sending' | 'sent' | 'delivered' | 'read' | 'failed' | 'unconfirmed' | 'expired' | 'canceled' | 'received'

export interface Message {
  id: number
  user_id: number
  phone_number_id: number
  direction: 'outgoing' | 'incoming'
  source: 'api' | 'phone' | 'contact'
  type: string
  recipient: string
  content: Record<string, unknown>
  status: MessageStatus
  history: { status: MessageStatus; at: string; code?: string }[]
  error_code: string | null
  error_message: string | null
  whatsapp_id: string | null
  created_at: Date
  sent_at: Date | null
}

const columns = [
  'id, user_id, phone_number_id, direction, source, type, recipient, content, status, history',
  'error_code, error_message, whatsapp_id, created_at, sent_at',
].join(', ')

export interface NewOutgoing {
  user_id: number
  phone_number_id: number
  type: string
  recipient: string
  content: Record<string, unknown>
  priority: number
  ttl_seconds: number
  quota_day: string
  /** Set: it starts at once in this process; absent: it waits in its lane. */
  claim?: { process_id: number; starts_at: Date; generation: number }
}

const step = (status: string, code = 'null') =>
  `jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('status', ${status}, 'at', now(), 'code', ${code})))`

/** Stores messages of the API; answers their ids in the order given. */
export async function insertOutgoing(tx: Queryable, messages: NewOutgoing[]): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, priority, ttl_seconds,
                           quota_day, status, attempts, process_id, starts_at, generation, history)
     select user_id, phone_number_id, 'outgoing', 'api', type, recipient, content, priority, ttl_seconds, quota_day,
            case when process_id is null then 'queued' else 'sending' end,
            case when process_id is null then 0 else 1 end, process_id, starts_at, generation,
            ${step("'queued'")} || case when process_id is null then '[]' else ${step("'sending'")} end
       from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::smallint[], $7::integer[],
                   $8::date[], $9::bigint[], $10::timestamptz[], $11::integer[]) with ordinality
            as m (user_id, phone_number_id, type, recipient, content, priority, ttl_seconds, quota_day, process_id,
                  starts_at, generation, ord)
      order by ord
     returning id`,
    [
      messages.map((m) => m.user_id),
      messages.map((m) => m.phone_number_id),
      messages.map((m) => m.type),
      messages.map((m) => m.recipient),
      messages.map((m) => JSON.stringify(m.content)),
      messages.map((m) => m.priority),
      messages.map((m) => m.ttl_seconds),
      messages.map((m) => m.quota_day),
      messages.map((m) => m.claim?.process_id ?? null),
      messages.map((m) => m.claim?.starts_at ?? null),
      messages.map((m) => m.claim?.generation ?? null),
    ],
  )
  return rows.map((row) => row.id)
}

/** A message a process has taken to send, with what it takes to reach the engine. */
export interface Claimed {
  id: number
  user_id: number
  phone_number_id: number
  attempts: number
  engine_errors: number
  type: string
  recipient: string
  content: Record<string, unknown>
  starts_at: Date
  engine_name: string
  server_instance: string
}

/** Takes the next message of each lane for this process. The lanes must be locked, and nothing of theirs in flight. */
export async function claimNext(
  tx: Queryable,
  processId: number,
  lanes: { phone_number_id: number; ready_at: Date }[],
): Promise<Claimed[]> {
  if (lanes.length === 0) return []
  const { rows } = await tx.query<Claimed>(
    `with next as (
       select m.id, l.ready_at
         from unnest($2::bigint[], $3::timestamptz[]) as l (phone_number_id, ready_at)
        cross join lateral (
          select id from messages
           where phone_number_id = l.phone_number_id and status = 'queued' and send_at is null
           order by priority, id limit 1) m)
     update messages m
        set status = 'sending', attempts = m.attempts + 1, process_id = $1, updated_at = now(),
            starts_at = greatest(now(), next.ready_at), generation = p.engine_generation,
            history = m.history || ${step("'sending'")}
       from next, phone_numbers p
      where m.id = next.id and p.id = m.phone_number_id and m.status = 'queued'
     returning m.id, m.user_id, m.phone_number_id, m.attempts, m.engine_errors, m.type, m.recipient, m.content,
               m.starts_at, p.instance_name || '_g' || p.engine_generation as engine_name, p.server_instance`,
    [processId, lanes.map((l) => l.phone_number_id), lanes.map((l) => l.ready_at)],
  )
  return rows
}

export interface Outcome {
  id: number
  /** The claim this outcome belongs to: a late one is refused. */
  attempts: number
  status: 'sent' | 'failed' | 'queued' | 'unconfirmed'
  whatsapp_id: string | null
  error_code: string | null
  error_message: string | null
  engine_error: boolean
}

/** A message after it changed, with what its statistics, refund and event need. */
export interface Changed {
  id: number
  user_id: number
  phone_number_id: number
  direction: Message['direction']
  type: string
  recipient: string
  status: MessageStatus
  error_code: string | null
  error_message: string | null
  quota_day: string | null
  whatsapp_id: string | null
  time_zone: string
  display_name: string
  phone_number: string | null
  metadata: Record<string, unknown>
}

const changed = `m.id, m.user_id, m.phone_number_id, m.direction, m.type, m.recipient, m.status, m.error_code,
  m.error_message, m.quota_day, m.whatsapp_id, u.time_zone, p.display_name, p.phone_number, p.metadata`

/** Writes the outcomes of sends this process still owns; answers the messages that were written. */
export async function settle(tx: Queryable, processId: number, outcomes: Outcome[]): Promise<Changed[]> {
  const { rows } = await tx.query<Changed>(
    `update messages m
        set status = o.status, error_code = o.error_code, error_message = o.error_message, updated_at = now(),
            whatsapp_id = coalesce(o.whatsapp_id, m.whatsapp_id),
            sent_at = case when o.status = 'sent' then now() else m.sent_at end,
            engine_errors = case when o.engine_error then m.engine_errors + 1 else 0 end,
            refunded = m.refunded or o.status = 'failed',
            history = m.history || ${step('o.status', 'o.error_code')}
       from unnest($2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[])
            as o (id, attempts, status, whatsapp_id, error_code, error_message, engine_error), users u, phone_numbers p
      where m.id = o.id and m.process_id = $1 and m.attempts = o.attempts and u.id = m.user_id and p.id = m.phone_number_id
        and (m.status = 'sending' or (m.status = 'unconfirmed' and o.status = 'sent'))
     returning ${changed}`,
    [
      processId,
      outcomes.map((o) => o.id),
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

/** What these processes are sending. */
export async function findHeld(tx: Queryable, processIds: number[]): Promise<{ phone_number_id: number }[]> {
  const { rows } = await tx.query<{ phone_number_id: number }>(
    `select phone_number_id from messages where process_id = any($1::bigint[]) and status = 'sending'`,
    [processIds],
  )
  return rows
}

/** The sends of dead processes: nobody knows how they ended. Their lanes must be released in the same transaction. */
export async function abandon(tx: Queryable, processIds: number[]): Promise<Changed[]> {
  const { rows } = await tx.query<Changed>(
    `update messages m
        set status = 'unconfirmed', error_code = 'process_died', updated_at = now(),
            error_message = 'The server stopped while this message was being sent, so it is not known whether it went out.',
            history = m.history || ${step("'unconfirmed'", "'process_died'")}
       from users u, phone_numbers p
      where m.process_id = any($1::bigint[]) and m.status = 'sending' and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [processIds],
  )
  return rows
}

/** Ends what still waits in a lane; answers what was charged for it. The lane must be locked. */
export async function cancelQueued(tx: Queryable, phoneNumberId: number) {
  const { rows } = await tx.query<{ id: number; user_id: number; quota_day: string }>(
    `update messages
        set status = 'canceled', error_code = 'phone_number_deleted', refunded = true, updated_at = now(),
            error_message = 'Its phone number was deleted before it was sent.',
            history = history || ${step("'canceled'", "'phone_number_deleted'")}
      where phone_number_id = $1 and status = 'queued'
     returning id, user_id, quota_day`,
    [phoneNumberId],
  )
  return rows
}

export interface NewIncoming {
  user_id: number
  phone_number_id: number
  direction: 'incoming' | 'outgoing'
  source: 'contact' | 'phone'
  type: string
  recipient: string
  content: Record<string, unknown>
  status: MessageStatus
  whatsapp_id: string
  sent_at: Date
}

/** Stores messages the engine told of; answers the id by WhatsApp id, without those that were there already. */
export async function insertFromEngine(tx: Queryable, messages: NewIncoming[]): Promise<Map<string, number>> {
  if (messages.length === 0) return new Map()
  const { rows } = await tx.query<{ id: number; phone_number_id: number; whatsapp_id: string }>(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, whatsapp_id,
                           sent_at, history)
     select user_id, phone_number_id, direction, source, type, recipient, content, status, whatsapp_id, sent_at,
            ${step('status')}
       from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::text[],
                   $9::text[], $10::timestamptz[]) with ordinality
            as m (user_id, phone_number_id, direction, source, type, recipient, content, status, whatsapp_id, sent_at, ord)
      order by ord
         on conflict (phone_number_id, whatsapp_id) where whatsapp_id is not null do nothing
     returning id, phone_number_id, whatsapp_id`,
    [
      messages.map((m) => m.user_id),
      messages.map((m) => m.phone_number_id),
      messages.map((m) => m.direction),
      messages.map((m) => m.source),
      messages.map((m) => m.type),
      messages.map((m) => m.recipient),
      messages.map((m) => JSON.stringify(m.content)),
      messages.map((m) => m.status),
      messages.map((m) => m.whatsapp_id),
      messages.map((m) => m.sent_at),
    ],
  )
  return new Map(rows.map((row) => [`${row.phone_number_id} ${row.whatsapp_id}`, row.id]))
}

export interface Receipt {
  phone_number_id: number
  whatsapp_id: string
  status: 'sent' | 'delivered' | 'read' | 'failed'
}

/** How far along a message is: a receipt may only raise it. */
const rank = (status: string) =>
  `array_position(array['queued', 'sending', 'unconfirmed', 'sent', 'failed', 'delivered', 'read'], ${status})`

/** Moves messages forward by what WhatsApp reported; repeats and receipts from behind change nothing. */
export async function applyReceipts(tx: Queryable, receipts: Receipt[]): Promise<Changed[]> {
  if (receipts.length === 0) return []
  const { rows } = await tx.query<Changed>(
    `with receipt as (
       select distinct on (phone_number_id, whatsapp_id) *
         from unnest($1::bigint[], $2::text[], $3::text[]) as r (phone_number_id, whatsapp_id, status)
        order by phone_number_id, whatsapp_id, ${rank('r.status')} desc),
     target as (
       select m.id, r.status
         from messages m join receipt r on r.phone_number_id = m.phone_number_id and r.whatsapp_id = m.whatsapp_id
        where m.direction = 'outgoing' and ${rank('r.status')} > ${rank('m.status')}
        order by m.id for update of m)
     update messages m
        set status = t.status, updated_at = now(),
            error_code = case when t.status = 'failed' then 'refused_by_whatsapp' end,
            error_message = case when t.status = 'failed' then 'WhatsApp refused this message.' end,
            history = m.history || ${step('t.status', "case when t.status = 'failed' then 'refused_by_whatsapp' end")}
       from target t, users u, phone_numbers p
      where m.id = t.id and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [receipts.map((r) => r.phone_number_id), receipts.map((r) => r.whatsapp_id), receipts.map((r) => r.status)],
  )
  return rows
}

/** Which of these WhatsApp ids belong to a message we know. */
export async function findKnownIds(tx: Queryable, receipts: Receipt[]): Promise<Set<string>> {
  const { rows } = await tx.query<{ phone_number_id: number; whatsapp_id: string }>(
    `select m.phone_number_id, m.whatsapp_id
       from unnest($1::bigint[], $2::text[]) as r (phone_number_id, whatsapp_id)
       join messages m on m.phone_number_id = r.phone_number_id and m.whatsapp_id = r.whatsapp_id`,
    [receipts.map((r) => r.phone_number_id), receipts.map((r) => r.whatsapp_id)],
  )
  return new Set(rows.map((row) => `${row.phone_number_id} ${row.whatsapp_id}`))
}

export async function findOwned(db: Queryable, userId: number, id: number): Promise<Message | undefined> {
  const { rows } = await db.query<Message>(`select ${columns} from messages where user_id = $1 and id = $2`, [
    userId,
    id,
  ])
  return rows[0]
}
