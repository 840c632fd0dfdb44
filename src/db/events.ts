import type { Queryable } from './database.js'

export interface NewEvent {
  public_id: string
  user_id: number
  phone_number_id: number | null
  type: string
  /** The payload without its position, which is known only under the feed's lock. */
  payload: (position: number) => string
}

/**
 * Records events in their order and owes each to every enabled webhook that wants it. The feed rows stay locked until
 * the commit, so positions become visible without gaps.
 */
export async function record(tx: Queryable, events: NewEvent[]): Promise<void> {
  if (events.length === 0) return
  const positions = await takePositions(tx, events)
  await tx.query(
    `with created as (
       insert into events (public_id, user_id, phone_number_id, position, type, payload)
       select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::json[])
       returning id, user_id, phone_number_id, type)
     insert into deliveries (event_id, webhook_id, phone_number_id)
     select e.id, w.id, e.phone_number_id
       from created e
       join webhooks w on w.user_id = e.user_id and w.deleted_at is null and w.enabled
                      and (w.phone_number_id is null or w.phone_number_id = e.phone_number_id)
                      and e.type = any(w.event_types)
      order by e.id`,
    [
      events.map((event) => event.public_id),
      events.map((event) => event.user_id),
      events.map((event) => event.phone_number_id),
      positions,
      events.map((event) => event.type),
      events.map((event, i) => event.payload(positions[i]!)),
    ],
  )
}

async function takePositions(tx: Queryable, events: NewEvent[]): Promise<number[]> {
  const counts = new Map<number, number>()
  for (const { user_id } of events) counts.set(user_id, (counts.get(user_id) ?? 0) + 1)
  const { rows } = await tx.query<{ user_id: number; first: number }>(
    `with wanted as (select * from unnest($1::bigint[], $2::bigint[]) as w (user_id, n)),
     locked as (
       select f.user_id, w.n from feeds f join wanted w using (user_id) order by f.user_id for update of f)
     update feeds f set last_position = f.last_position + locked.n
       from locked where f.user_id = locked.user_id
     returning f.user_id, f.last_position - locked.n + 1 as first`,
    [[...counts.keys()], [...counts.values()]],
  )
  const next = new Map(rows.map((row) => [row.user_id, row.first]))
  return events.map(({ user_id }) => {
    const position = next.get(user_id)!
    next.set(user_id, position + 1)
    return position
  })
}

export interface RecentEvent {
  public_id: string
  type: string
  phone_number_id: number | null
  created_at: Date
}

export async function listRecent(db: Queryable, userId: number, limit: number): Promise<RecentEvent[]> {
  const { rows } = await db.query<RecentEvent>(
    `select public_id, type, phone_number_id, created_at
       from events where user_id = $1 order by position desc limit $2`,
    [userId, limit],
  )
  return rows
}
