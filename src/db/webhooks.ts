import type { Queryable } from './database.js'

export interface Webhook {
  id: number
  user_id: number
  phone_number_id: number | null
  url: string
  event_types: string[]
  enabled: boolean
  created_at: Date
}

export interface NewWebhook {
  user_id: number
  phone_number_id: number
  url: string
  secret: string
  event_types: string[]
}

/** Stores the webhook and, as the number's first, its copy on the number. */
export async function insertForNumber(tx: Queryable, webhook: NewWebhook): Promise<void> {
  await tx.query(
    `insert into webhooks (user_id, phone_number_id, url, secret, event_types) values ($1, $2, $3, $4, $5)`,
    [webhook.user_id, webhook.phone_number_id, webhook.url, webhook.secret, webhook.event_types],
  )
  await tx.query('update phone_numbers set webhook_url = $2 where id = $1', [webhook.phone_number_id, webhook.url])
}

export async function deleteOfNumber(tx: Queryable, phoneNumberId: number): Promise<void> {
  await tx.query('update webhooks set deleted_at = now(), enabled = false where phone_number_id = $1', [phoneNumberId])
}
