import type { Queryable } from './database.js'

export interface Traffic {
  phone_number_id: number
  date: string
  direction: 'sent' | 'received'
  media: boolean
}

/** Counts messages per number and day of the user's zone. */
export async function add(tx: Queryable, traffic: Traffic[]): Promise<void> {
  if (traffic.length === 0) return
  await tx.query(
    `insert into message_stats as s
       (phone_number_id, date, messages_sent, messages_received, media_sent, media_received)
     select phone_number_id, date,
            count(*) filter (where sent), count(*) filter (where not sent),
            count(*) filter (where sent and media), count(*) filter (where not sent and media)
       from unnest($1::bigint[], $2::date[], $3::boolean[], $4::boolean[]) as t (phone_number_id, date, sent, media)
      group by phone_number_id, date
      order by phone_number_id, date
         on conflict (phone_number_id, date) do update
        set messages_sent = s.messages_sent + excluded.messages_sent,
            messages_received = s.messages_received + excluded.messages_received,
            media_sent = s.media_sent + excluded.media_sent,
            media_received = s.media_received + excluded.media_received`,
    [
      traffic.map((t) => t.phone_number_id),
      traffic.map((t) => t.date),
      traffic.map((t) => t.direction === 'sent'),
      traffic.map((t) => t.media),
    ],
  )
}

export interface Totals {
  messages_sent: number
  messages_received: number
  media_sent: number
  media_received: number
}

export interface Range {
  start_date: string
  end_date: string
}

const sums = `coalesce(sum(s.messages_sent), 0) as messages_sent,
              coalesce(sum(s.messages_received), 0) as messages_received,
              coalesce(sum(s.media_sent), 0) as media_sent,
              coalesce(sum(s.media_received), 0) as media_received`

export async function totals(db: Queryable, userId: number, range: Range): Promise<Totals> {
  const { rows } = await db.query<Totals>(
    `select ${sums}
       from phone_numbers p join message_stats s on s.phone_number_id = p.id
      where p.user_id = $1 and s.date between $2 and $3`,
    [userId, range.start_date, range.end_date],
  )
  return rows[0]!
}

export async function perDay(db: Queryable, userId: number, range: Range) {
  const { rows } = await db.query<Totals & { date: string }>(
    `select s.date, ${sums}
       from phone_numbers p join message_stats s on s.phone_number_id = p.id
      where p.user_id = $1 and s.date between $2 and $3
      group by s.date order by s.date`,
    [userId, range.start_date, range.end_date],
  )
  return rows
}

export async function perNumber(db: Queryable, userId: number, range: Range) {
  const { rows } = await db.query<Totals & { id: number; display_name: string; phone_number: string | null }>(
    `select p.id, p.display_name, p.phone_number, ${sums}
       from phone_numbers p
       left join message_stats s on s.phone_number_id = p.id and s.date between $2 and $3
      where p.user_id = $1
      group by p.id
     having p.deleted_at is null or count(s.date) > 0
      order by p.id`,
    [userId, range.start_date, range.end_date],
  )
  return rows
}
