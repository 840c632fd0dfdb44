import type { Queryable } from './database.js'

export interface Check {
  recipient: string
  on_whatsapp: boolean
  whatsapp_id: string | null
  phone_number_id: number
}

/** What is known of these recipients and not older than that. */
export async function find(db: Queryable, recipients: string[], days: number): Promise<Map<string, boolean>> {
  const { rows } = await db.query<{ recipient: string; on_whatsapp: boolean }>(
    `select recipient, on_whatsapp from contact_checks
      where recipient = any($1::text[]) and checked_at > now() - make_interval(days => $2)`,
    [recipients, days],
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
