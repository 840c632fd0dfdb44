import type { Queryable } from './database.js'
import { type Changed, type Message, type MessageStatus, changed, rank, step } from './messages.js'

/** What the engine tells of messages: those it received, and how ours fare. */
export interface FromEngine {
  user_id: number
  phone_number_id: number
  direction: Message['direction']
  source: 'contact' | 'phone'
  type: string
  recipient: string
  content: Record<string, unknown>
  status: MessageStatus
  whatsapp_id: string
  sent_at: Date
}

/** Stores messages the engine told of; answers the id by `<number> <WhatsApp id>`, without those that were there already. */
export async function insertFromEngine(tx: Queryable, messages: FromEngine[]): Promise<Map<string, number>> {
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

/**
 * Moves messages forward by what WhatsApp reported; repeats and receipts from behind change nothing. Their lanes must be
 * locked.
 */
export async function applyReceipts(tx: Queryable, receipts: Receipt[]): Promise<Changed[]> {
  if (receipts.length === 0) return []
  const { rows } = await tx.query<Changed>(
    `with receipt as (
       select distinct on (phone_number_id, whatsapp_id) *
         from unnest($1::bigint[], $2::text[], $3::text[]) as r (phone_number_id, whatsapp_id, status)
        order by phone_number_id, whatsapp_id, ${rank('r.status')} desc),
     target as (
       select m.id, r.status
         from receipt r
        cross join lateral (
          select id from messages
           where phone_number_id = r.phone_number_id and whatsapp_id = r.whatsapp_id and direction = 'outgoing'
          offset 0) m -- each by its key
        order by m.id)
     update messages m
        set status = t.status, updated_at = now(), warning = null,
            delivered_at = case when t.status in ('delivered', 'read') then coalesce(m.delivered_at, now()) end,
            read_at = case when t.status = 'read' then now() end,
            error_code = case when t.status = 'failed' then 'refused_by_whatsapp' end,
            error_message = case when t.status = 'failed' then 'WhatsApp refused this message.' end,
            history = m.history || ${step('t.status', "case when t.status = 'failed' then 'refused_by_whatsapp' end")}
       from target t, users u, phone_numbers p
      where m.id = t.id and ${rank('t.status')} > ${rank('m.status')} and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [receipts.map((r) => r.phone_number_id), receipts.map((r) => r.whatsapp_id), receipts.map((r) => r.status)],
  )
  return rows
}

/** Of these WhatsApp ids those that belong to a message we know, as `<number> <WhatsApp id>`, with its chat. */
export async function findChats(
  tx: Queryable,
  messages: { phone_number_id: number; whatsapp_id: string }[],
): Promise<Map<string, string>> {
  if (messages.length === 0) return new Map()
  const { rows } = await tx.query<{ key: string; recipient: string }>(
    `select m.phone_number_id || ' ' || m.whatsapp_id as key, m.recipient
       from unnest($1::bigint[], $2::text[]) as r (phone_number_id, whatsapp_id)
      cross join lateral (
        select phone_number_id, whatsapp_id, recipient from messages
         where phone_number_id = r.phone_number_id and whatsapp_id = r.whatsapp_id offset 0) m -- each by its key`,
    [messages.map((m) => m.phone_number_id), messages.map((m) => m.whatsapp_id)],
  )
  return new Map(rows.map((row) => [row.key, row.recipient]))
}

/** Whoever has written since a message to them was accepted is no new contact; scheduled ones may be of long ago. */
export async function recogniseContacts(tx: Queryable, phoneNumberId: number): Promise<void> {
  await tx.query(
    `update messages m set new_contact = false
      where m.phone_number_id = $1 and m.status = 'queued' and m.new_contact
        and exists (select 1 from messages i
                     where i.phone_number_id = m.phone_number_id and i.recipient = m.recipient
                       and i.direction = 'incoming')`,
    [phoneNumberId],
  )
}
