import type { Queryable } from './database.js'
import * as webhookLogs from './webhook-logs.js'
import * as webhookQueues from './webhook-queues.js'

export interface NewEvent {
  public_id: string
  user_id: number
  phone_number_id: number | null
  type: string
  /** The payload before and after its position, which is known only under the feed's lock. */
  payload: readonly [string, string]
}

/**
 * Records events in their order and owes each to every enabled webhook that wants it. The feed rows stay locked until
 * the commit, so positions become visible without gaps. Both statements are sent at once; it may be the last of a
 * transaction.
 */
export async function record(tx: Queryable, events: NewEvent[]): Promise<void> {
  if (events.length === 0) return
  await Promise.all([takePositions(tx, events), insert(tx, events)])
}

/** Moves each feed on by its number of events, under its lock. */
async function takePositions(tx: Queryable, events: NewEvent[]): Promise<void> {
  const counts = new Map<number, number>()
  for (const { user_id } of events) counts.set(user_id, (counts.get(user_id) ?? 0) + 1)
  await tx.query(
    `with wanted as (select * from unnest($1::bigint[], $2::bigint[]) as w (user_id, n)),
     locked as (
       select f.user_id, w.n from feeds f join wanted w using (user_id) order by f.user_id for update of f)
     update feeds f set last_position = f.last_position + locked.n
       from locked where f.user_id = locked.user_id`,
    [[...counts.keys()], [...counts.values()]],
  )
}

/**
 * A fact about the user alone goes to every webhook that wants its type. The clock is read under the feed's lock, so the
 * order in which deliveries are due is that of the positions.
 */
async function insert(tx: Queryable, events: NewEvent[]): Promise<void> {
  await tx.query(
    `with news as (
       select n.*, f.last_position - count(*) over (partition by n.user_id)
                   + row_number() over (partition by n.user_id order by ord) as position
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[]) with ordinality
              as n (public_id, user_id, phone_number_id, type, before, after, ord)
         join feeds f on f.user_id = n.user_id),
     created as (
       insert into events (public_id, user_id, phone_number_id, position, type, payload)
       select public_id, user_id, phone_number_id, position, type, (before || position || after)::json
         from news order by ord
       returning id, user_id, phone_number_id, type),
     owed as (
       insert into deliveries (event_id, webhook_id, phone_number_id, due_at)
       select e.id, w.id, e.phone_number_id, clock_timestamp()
         from created e
         join webhooks w on w.user_id = e.user_id and w.deleted_at is null and w.enabled
                        and (w.phone_number_id is null or e.phone_number_id is null
                             or w.phone_number_id = e.phone_number_id)
                        and (e.type = any(w.event_types) or '*' = any(w.event_types))
        order by e.id
       returning webhook_id),
     ${webhookQueues.woken('select distinct webhook_id from owed')}
     select 1 from woken limit 1`,
    [
      events.map((event) => event.public_id),
      events.map((event) => event.user_id),
      events.map((event) => event.phone_number_id),
      events.map((event) => event.type),
      events.map((event) => event.payload[0]),
      events.map((event) => event.payload[1]),
    ],
  )
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

export interface FeedEvent {
  position: number
  type: string
  payload: string
}

export interface Feed {
  last_position: number
  /** Null: none is kept. */
  oldest: number | null
  epoch: number
  /** Where the epoch began; null for the first. */
  epoch_from: number | null
}

export async function findFeed(db: Queryable, userId: number): Promise<Feed | undefined> {
  const { rows } = await db.query<Feed>(
    `select f.last_position, f.epoch, f.epoch_from, (select min(e.position) from events e where e.user_id = f.user_id) as oldest
       from feeds f where f.user_id = $1`,
    [userId],
  )
  return rows[0]
}

/** What one page may hold of payloads; the first one comes whatever its size. */
const PAGE_BYTES = 4 * 1024 * 1024
/** So many positions are looked through at once, or a filter that matches little would read all of a long feed. */
const SPAN = 20_000

/**
 * Events after a position, with the last position there was at the same moment: one statement, one snapshot, and
 * positions are taken under the feed's lock, so nothing at or below it can appear later. `seen` is how far this has looked.
 */
export async function listAfter(
  db: Queryable,
  userId: number,
  after: number,
  { types, limit }: { types?: string[]; limit: number },
): Promise<{ last_position: number; events: FeedEvent[]; seen: number }> {
  type Row = FeedEvent & { last_position: number; bytes: number }
  const { rows } = await db.query<{ [name in keyof Row]: Row[name] | null }>(
    `select f.last_position, e.position, e.type, e.payload, e.bytes
       from feeds f
       left join lateral (
         select position, type, payload, bytes
           from (select position, type, payload, size, sum(size) over (order by position rows unbounded preceding) as bytes
                   from (select position, type, payload, pg_column_size(payload) as size from events
                          where user_id = f.user_id and position > $2 and position <= $2::bigint + ${SPAN}
                            and ($3::text[] is null or type = any($3))
                          order by position limit $4) page) sized
          where bytes - size < $5) e on true
      where f.user_id = $1 order by e.position`,
    [userId, after, types ?? null, limit, PAGE_BYTES],
  )
  const events = rows.filter((row): row is Row => row.position !== null)
  const full = events.length === limit || (events.at(-1)?.bytes ?? 0) >= PAGE_BYTES
  const last_position = rows[0]?.last_position ?? 0
  return { last_position, events, seen: full ? events.at(-1)!.position : Math.min(last_position, after + SPAN) }
}

/** How many events are kept after one position and up to another. */
export async function countBetween(db: Queryable, userId: number, after: number, upTo: number): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    'select count(*) as n from events where user_id = $1 and position > $2 and position <= $3',
    [userId, after, upTo],
  )
  return rows[0]!.n
}

/** How far the feeds of these users have come. */
export async function listPositions(db: Queryable, userIds: number[]) {
  const { rows } = await db.query<{ user_id: number; last_position: number }>(
    'select user_id, last_position from feeds where user_id = any($1::bigint[])',
    [userIds],
  )
  return rows
}

export async function findOwned(db: Queryable, userId: number, publicId: string): Promise<string | undefined> {
  const { rows } = await db.query<{ payload: string }>(
    'select payload from events where user_id = $1 and public_id = $2',
    [userId, publicId],
  )
  return rows[0]?.payload
}

/** Whether a live webhook is still to get the event `e`; its deliveries are found by their key. */
const OWED = `exists (
  select 1 from (select * from deliveries where event_id = e.id offset 0) d
   cross join lateral (select from pending_deliveries where id = d.id offset 0) p
    join webhooks w on w.id = d.webhook_id
   where w.deleted_at is null)`

/**
 * Deletes old events with their deliveries and attempts, a stretch of ids at a time; what a live webhook is still owed
 * stays, and so does what is just being redelivered. Answers where to go on, or undefined at the first event that is young
 * enough.
 */
export async function prune(
  tx: Queryable,
  afterId: number,
  days: number,
  batch: number,
  now: Date | null,
): Promise<number | undefined> {
  const { rows: old } = await tx.query<{ id: number; owed: boolean }>(
    `select e.id, ${OWED} as owed
       from (select id, created_at from events where id > $1 order by id limit $3) e
      where e.created_at < coalesce($4, now()) - make_interval(days => $2) order by e.id`,
    [afterId, days, batch, now],
  )
  const { rows: free } = await tx.query<{ id: number }>(
    'select id from events where id = any($1::bigint[]) order by id for update skip locked',
    [old.filter(({ owed }) => !owed).map(({ id }) => id)],
  )
  // In a statement of its own, which sees what was redelivered before the lock.
  await tx.query(
    `with unowed as (
       select e.id from events e where e.id = any($1::bigint[]) and not ${OWED}),
     attempts as (${webhookLogs.deletedOf('select id from unowed')})
     delete from events where id in (select id from unowed)`,
    [free.map(({ id }) => id)],
  )
  return old.length === batch ? old.at(-1)!.id : undefined
}

/** Taken before a webhook is locked, in the order in which events are recorded. */
export async function lockFeed(tx: Queryable, userId: number): Promise<void> {
  await tx.query('select 1 from feeds where user_id = $1 for update', [userId])
}
