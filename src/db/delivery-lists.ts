import type { Queryable } from './database.js'

export type DeliveryStatus = 'pending' | 'delivered' | 'failed'

export interface Delivery {
  id: number
  webhook_id: number
  phone_number_id: number | null
  event_id: string
  event_type: string
  status: DeliveryStatus
  attempts: number
  due_at: Date
  /** Pending, but its webhook is disabled: it waits until that is enabled again. */
  held: boolean
  created_at: Date
  /** The same in microseconds, for the cursor: a Date would cut them off. */
  created_us: number
  settled_at: Date | null
}

export interface DeliveryFilter {
  status?: DeliveryStatus
  event_types?: string[]
  from?: Date
  to?: Date
}

/** Where a page begins or a call ended: the delivery of this moment and id. */
export interface DeliveryCursor {
  created_us: number
  id: number
}

export const createdUs = (row: string) => `(extract(epoch from ${row}.created_at) * 1000000)::bigint`

const columns = `d.id, d.webhook_id, d.phone_number_id, e.public_id as event_id, e.type as event_type, d.status, d.attempts,
  d.due_at, d.status = 'pending' and not w.enabled as held, d.created_at, d.settled_at,
  ${createdUs('d')} as created_us`

/** Deliveries of a status, without a look at all the others; undefined: all. */
export function listed(status: DeliveryStatus | undefined): string {
  const among = (table: string, created_at: string) => `
      (select o.webhook_id, ${created_at}, o.id, d.phone_number_id, d.event_id, d.status, d.attempts, d.due_at, d.settled_at
         from ${table} o cross join lateral (select * from deliveries where id = o.id offset 0) d)`
  if (status === 'pending') return among('pending_deliveries', 'd.created_at')
  if (status === 'failed') return among('failed_deliveries', 'o.created_at')
  return 'delivery_details'
}

export async function listOwned(
  db: Queryable,
  userId: number,
  webhookId: number,
  filter: DeliveryFilter,
  page: { before?: DeliveryCursor; limit: number },
): Promise<Delivery[]> {
  const { rows } = await db.query<Delivery>(
    `with w as materialized ( -- looked at once, not for each delivery
       select enabled from webhooks where id = $2 and user_id = $1 and deleted_at is null)
     select ${columns}
       from w cross join ${listed(filter.status)} d join events e on e.id = d.event_id
      where d.webhook_id = $2
        and ($3::text is null or d.status = $3) and ($4::text[] is null or e.type = any($4))
        and d.created_at >= coalesce($5::timestamptz, '-infinity') and d.created_at <= coalesce($6::timestamptz, 'infinity')
        and (d.created_at, d.id) < (coalesce(timestamptz 'epoch' + $7::bigint * interval '1 microsecond', 'infinity'), $8::bigint)
      order by d.created_at desc, d.id desc limit $9`,
    [
      userId,
      webhookId,
      filter.status ?? null,
      filter.event_types ?? null,
      filter.from ?? null,
      filter.to ?? null,
      page.before?.created_us ?? null,
      page.before?.id ?? 0,
      page.limit,
    ],
  )
  return rows
}

/** One delivery with the exact body it sends. */
export async function findOwned(db: Queryable, userId: number, id: number) {
  const { rows } = await db.query<Delivery & { url: string; body: string }>(
    `select ${columns}, w.url, e.payload as body
       from delivery_details d join webhooks w on w.id = d.webhook_id join events e on e.id = d.event_id
      where w.user_id = $1 and d.id = $2 and w.deleted_at is null`,
    [userId, id],
  )
  return rows[0]
}
