import type { Queryable } from './database.js'

/** What was found out counts for so long, and is kept no longer. */
const VALID_DAYS = 7

export interface Check {
  recipient: string
  on_whatsapp: boolean
  whatsapp_id: string | null
  phone_number_id: number
}

/** What is known of these recipients and still counts. */
export async function find(db: Queryable, recipients: string[]): Promise<Map<string, boolean>> {
  const { rows } = await db.query<{ recipient: string; on_whatsapp: boolean }>(
    `select recipient, on_whatsapp from contact_checks
      where recipient = any($1::text[]) and checked_at > now() - make_interval(days => $2)`,
    [recipients, VALID_DAYS],
  )
  return new Map(rows.map((row) => [row.recipient, row.on_whatsapp]))
}

export async function save(db: Queryable, check: Check): Promise<void> {
  await db.query(
    `insert into contact_checks (recipient, on_whatsapp, whatsapp_id, phone_number_id) values ($1, $2, $3, $4)
         on conflict (recipient) do update
        set on_whatsapp = excluded.on_whatsapp, whatsapp_id = excluded.whatsapp_id,
            phone_number_id = excluded.phone_number_id, checked_at = now()`,
    [check.recipient, check.on_whatsapp, check.whatsapp_id, check.phone_number_id],
  )
}

/** Deletes up to `batch` that count no more; answers how many. */
export async function prune(db: Queryable, batch: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from contact_checks where recipient in (
       select recipient from contact_checks where checked_at < coalesce($2, now()) - make_interval(days => $1) limit $3)`,
    [VALID_DAYS, now, batch],
  )
  return rowCount ?? 0
}
