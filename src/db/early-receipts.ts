import type { Queryable } from './database.js'
import type { Receipt } from './messages.js'

/** Keeps receipts whose message does not know its WhatsApp id yet. */
export async function insert(tx: Queryable, receipts: Receipt[]): Promise<void> {
  if (receipts.length === 0) return
  await tx.query(
    `insert into early_receipts (phone_number_id, whatsapp_id, status)
     select * from unnest($1::bigint[], $2::text[], $3::text[]) on conflict do nothing`,
    [receipts.map((r) => r.phone_number_id), receipts.map((r) => r.whatsapp_id), receipts.map((r) => r.status)],
  )
}

/** Takes the receipts that waited for these messages. */
export async function take(
  tx: Queryable,
  messages: { phone_number_id: number; whatsapp_id: string }[],
): Promise<Receipt[]> {
  if (messages.length === 0) return []
  const { rows } = await tx.query<Receipt>(
    `delete from early_receipts e
      using unnest($1::bigint[], $2::text[]) as m (phone_number_id, whatsapp_id)
      where e.phone_number_id = m.phone_number_id and e.whatsapp_id = m.whatsapp_id
     returning e.phone_number_id, e.whatsapp_id, e.status`,
    [messages.map((m) => m.phone_number_id), messages.map((m) => m.whatsapp_id)],
  )
  return rows
}

export async function deleteOld(db: Queryable, hours: number): Promise<void> {
  await db.query('delete from early_receipts where created_at < now() - make_interval(hours => $1)', [hours])
}
