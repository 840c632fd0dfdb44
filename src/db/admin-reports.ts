import type { Queryable } from './database.js'

/** What the operator looks at across all users; nothing is written here. */
export interface NumberRow {
  id: number
  user_id: number
  email: string
  display_name: string
  phone_number: string | null
  status: string
  status_reason: string | null
  status_changed_at: Date
  server: string
  instance_name: string
  engine_name: string | null
  problem: string | null
  unstable_since: Date | null
  last_event_at: Date | null
  last_received_at: Date | null
  queued: number
  blocked_reason: string | null
  created_at: Date
}

export interface NumberFilter {
  user_id?: number
  server?: string
  status?: string
  search?: string
  before?: number
  limit: number
}

export async function listNumbers(db: Queryable, filter: NumberFilter): Promise<NumberRow[]> {
  const { rows } = await db.query<NumberRow>(
    `select p.id, p.user_id, u.email, p.display_name, p.phone_number, p.status, p.status_reason, p.status_changed_at,
            p.server_instance as server, p.instance_name, p.unstable_since, p.last_event_at, p.last_received_at,
            case when p.parked_at is null then engine_name(p.instance_name, p.engine_generation) end as engine_name,
            c.problem, l.blocked_reason, p.created_at,
            (select count(*) from messages m where m.phone_number_id = p.id and m.status = 'queued') as queued
       from phone_numbers p
       join users u on u.id = p.user_id
       left join connection_checks c on c.phone_number_id = p.id
       left join lanes l on l.phone_number_id = p.id
      where p.deleted_at is null and p.id < $1
        and ($2::bigint is null or p.user_id = $2) and ($3::text is null or p.server_instance = $3)
        and ($4::text is null or p.status = $4)
        and ($5::text is null or p.display_name ilike $5 or p.phone_number like $5 or p.instance_name like $5)
      order by p.id desc limit $6`,
    [
      filter.before ?? Number.MAX_SAFE_INTEGER,
      filter.user_id ?? null,
      filter.server ?? null,
      filter.status ?? null,
      filter.search === undefined ? null : `%${filter.search.replace(/[\\%_]/g, '\\$&')}%`,
      filter.limit,
    ],
  )
  return rows
}

export interface Backlog {
  queued: number
  sending: number
  scheduled: number
  unconfirmed: number
  blocked_lanes: number
  /** Of what could go out: not paused, not blocked. */
  oldest_waiting_at: Date | null
  oldest_sending_at: Date | null
}

export async function sendBacklog(db: Queryable): Promise<Backlog> {
  const { rows } = await db.query<Backlog>(
    `select (select count(*) from messages where status = 'queued' and send_at is null) as queued,
            (select count(*) from messages where status = 'queued' and send_at is not null) as scheduled,
            (select count(*) from messages where status = 'sending') as sending,
            (select min(starts_at) from messages where status = 'sending') as oldest_sending_at,
            (select count(*) from messages where status = 'unconfirmed' and reconcile_at is not null) as unconfirmed,
            (select count(*) from lanes where blocked_since is not null) as blocked_lanes,
            (select min(due_at) from lanes
              where in_flight is null and due_at < now() and not paused and not closed) as oldest_waiting_at`,
  )
  return rows[0]!
}

export interface BlockedLanes {
  reason: string
  lanes: number
  since: Date
}

export async function blockedLanes(db: Queryable): Promise<BlockedLanes[]> {
  const { rows } = await db.query<BlockedLanes>(
    `select coalesce(blocked_reason, 'unknown') as reason, count(*) as lanes, min(blocked_since) as since
       from lanes where blocked_since is not null and not closed group by 1 order by 2 desc`,
  )
  return rows
}

export interface DeliveryBacklog {
  due_webhooks: number
  failing_webhooks: number
  /** Of webhooks whose receiver is not known to be down. */
  oldest_due_at: Date | null
}

export async function deliveryBacklog(db: Queryable): Promise<DeliveryBacklog> {
  const { rows } = await db.query<DeliveryBacklog>(
    `select count(*) filter (where due_at <= now()) as due_webhooks,
            count(*) filter (where failing_since is not null) as failing_webhooks,
            min(due_at) filter (where due_at <= now() and open_until is null) as oldest_due_at
       from webhook_queues where due_at is not null`,
  )
  return rows[0]!
}

export interface MonthlyUsage {
  user_id: number
  email: string
  company_name: string | null
  plan_type: string
  status: string
  phone_numbers: number
  messages_sent: number
  messages_received: number
  media_sent: number
  media_received: number
  messages_charged: number
}

/** Per user, days being those of the user's time zone. Users without any traffic are listed too. */
export async function monthlyUsage(db: Queryable, firstDay: string): Promise<MonthlyUsage[]> {
  const { rows } = await db.query<MonthlyUsage>(
    `select u.id as user_id, u.email, u.company_name, u.plan_type, u.status,
            (select count(*) from phone_numbers p where p.user_id = u.id and p.deleted_at is null) as phone_numbers,
            coalesce(t.messages_sent, 0) as messages_sent, coalesce(t.messages_received, 0) as messages_received,
            coalesce(t.media_sent, 0) as media_sent, coalesce(t.media_received, 0) as media_received,
            coalesce((select sum(d.used) from daily_usage d
                       where d.user_id = u.id and d.day >= $1::date and d.day < $1::date + interval '1 month'), 0)
              as messages_charged
       from users u
       left join (
         select p.user_id, sum(s.messages_sent) as messages_sent, sum(s.messages_received) as messages_received,
                sum(s.media_sent) as media_sent, sum(s.media_received) as media_received
           from message_stats s join phone_numbers p on p.id = s.phone_number_id
          where s.date >= $1::date and s.date < $1::date + interval '1 month'
          group by p.user_id) t on t.user_id = u.id
      where u.deleted_at is null
      order by u.id`,
    [firstDay],
  )
  return rows
}
