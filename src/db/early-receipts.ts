import type { Queryable } from './database.js'
import type { Receipt } from './message-reports.js'

/** A report about a message that does not know its WhatsApp id yet; of a send also what was sent, to find it again. */
export interface EarlyReceipt extends Receipt {
  sending?: { generation: number; recipient: string; fingerprint: Buffer; sent_at: Date }
}

export async function insert(tx: Queryable, receipts: EarlyReceipt[]): Promise<void> {
  if (receipts.length === 0) return
  await tx.query(
    `insert into early_receipts (phone_number_id, whatsapp_id, status, generation, recipient, fingerprint, sent_at)
     select distinct on (phone_number_id, whatsapp_id, status) *
       from unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::bytea[], $7::timestamptz[])
            as e (phone_number_id, whatsapp_id, status, generation, recipient, fingerprint, sent_at)
         on conflict (phone_number_id, whatsapp_id, status) do update
        set generation = coalesce(excluded.generation, early_receipts.generation),
            recipient = coalesce(excluded.recipient, early_receipts.recipient),
            fingerprint = coalesce(excluded.fingerprint, early_receipts.fingerprint),
            sent_at = coalesce(excluded.sent_at, early_receipts.sent_at)`,
    [
      receipts.map((r) => r.phone_number_id),
      receipts.map((r) => r.whatsapp_id),
      receipts.map((r) => r.status),
      receipts.map((r) => r.sending?.generation ?? null),
      receipts.map((r) => r.sending?.recipient ?? null),
      receipts.map((r) => r.sending?.fingerprint ?? null),
      receipts.map((r) => r.sending?.sent_at ?? null),
    ],
  )
}

/** Takes the receipts that waited for these messages, as far as one of ours has the id by now. */
export async function take(
  tx: Queryable,
  messages: { phone_number_id: number; whatsapp_id: string }[],
): Promise<Receipt[]> {
  if (messages.length === 0) return []
  const { rows } = await tx.query<Receipt>(
    `delete from early_receipts e
      using unnest($1::bigint[], $2::text[]) as m (phone_number_id, whatsapp_id)
      where e.phone_number_id = m.phone_number_id and e.whatsapp_id = m.whatsapp_id
        and exists (select 1 from messages k where k.phone_number_id = e.phone_number_id and k.whatsapp_id = e.whatsapp_id)
     returning e.phone_number_id, e.whatsapp_id, e.status`,
    [messages.map((m) => m.phone_number_id), messages.map((m) => m.whatsapp_id)],
  )
  return rows
}

export async function prune(db: Queryable, hours: number, batch: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from early_receipts where (phone_number_id, whatsapp_id, status) in (
       select phone_number_id, whatsapp_id, status from early_receipts
        where created_at < coalesce($3, now()) - make_interval(hours => $1) limit $2)`,
    [hours, batch, now],
  )
  return rowCount ?? 0
}
