import { createHash } from 'node:crypto'
import type pg from 'pg'

/** A user's number, connected, and what it takes to send from it. */
export interface Sender {
  user_id: number
  phone_number_id: number
  webhook_id: number
  api_key: string
  token: string
  instance_name: string
}

const keyOf = (batch: string, n: number) => `wsk_${createHash('sha256').update(`${batch} ${n}`).digest('base64url')}`

interface Wish {
  /** Keeps several calls apart. */
  batch: string
  numbers: number
  numbers_per_user: number
  /** Where the webhooks go, in turn. */
  webhook_urls?: string[]
}

/** Users on the largest plan, each with linked numbers and the webhook every new number gets. */
export async function seedSenders(db: pg.Pool, wish: Wish): Promise<Sender[]> {
  const { batch, numbers, numbers_per_user, webhook_urls = ['http://127.0.0.1:9/'] } = wish
  const users = Math.ceil(numbers / numbers_per_user)
  const { rows: user_ids } = await db.query<{ id: number }>(
    `insert into users (email, password_hash, api_key, plan_type, max_phone_numbers, max_messages_per_day, time_zone)
     select $1 || n || '@bench.example', '-', 'wsk_…', 'enterprise', 1000, 1000000000, 'Asia/Jakarta'
       from generate_series(0, $2 - 1) n
     returning id`,
    [batch, users],
  )
  const ids = user_ids.map((row) => Number(row.id))
  await db.query('insert into feeds (user_id) select unnest($1::bigint[])', [ids])
  const keys = ids.map((_, n) => keyOf(batch, n))
  await db.query(
    `insert into api_keys (user_id, name, key_hash, hint)
     select *, 'wsk_…' from unnest($1::bigint[], $2::text[], $3::bytea[])`,
    [ids, ids.map(() => 'bench'), keys.map((key) => createHash('sha256').update(key).digest())],
  )
  await db.query(
    `insert into servers (name, url) select 'bench-' || n, 'http://127.0.0.1:9' from generate_series(1, 2) n
         on conflict do nothing`,
  )
  const owners = Array.from({ length: numbers }, (_, n) => ids[Math.floor(n / numbers_per_user)]!)
  const senders = await seedNumbers(db, batch, owners, webhook_urls)
  // As any database is that has run for a minute; what is still empty must not be taken for something that stays so.
  await db.query('analyze users, api_keys, feeds, phone_numbers, lanes, webhooks, webhook_queues')
  return senders.map((sender) => ({ ...sender, api_key: keys[ids.indexOf(sender.user_id)]! }))
}

async function seedNumbers(db: pg.Pool, batch: string, owners: number[], urls: string[]) {
  const { rows } = await db.query<
    Record<'user_id' | 'phone_number_id' | 'webhook_id' | 'token' | 'instance_name', string>
  >(
    `with numbers as (
       insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, phone_number, status,
                                  webhook_url, first_connected_at, last_event_at)
       select user_id, 'bench-' || (1 + n % 2), $1 || '_' || n, $1 || '_token_' || n, 'Number ' || n,
              (628000000000 + n)::text, 'connected',
              ($3::text[])[1 + n % cardinality($3::text[])], now(), now()
         from unnest($2::bigint[]) with ordinality as o (user_id, n)
       returning id, user_id, token, instance_name, webhook_url),
     empty as (
       insert into lanes (phone_number_id) select id from numbers),
     hooks as (
       insert into webhooks (user_id, phone_number_id, url, secret, event_types)
       select user_id, id, webhook_url, 'whsec_' || encode(sha256(token::bytea), 'base64'),
              '{message.received,phone_number.connected,phone_number.disconnected}' from numbers
       returning id, user_id, phone_number_id),
     queues as (
       insert into webhook_queues (webhook_id, user_id) select id, user_id from hooks)
     select n.user_id, n.id as phone_number_id, h.id as webhook_id, n.token, n.instance_name
       from numbers n join hooks h on h.phone_number_id = n.id order by n.id`,
    [batch, owners, urls],
  )
  return rows.map((row) => ({
    ...row,
    user_id: Number(row.user_id),
    phone_number_id: Number(row.phone_number_id),
    webhook_id: Number(row.webhook_id),
  }))
}

/** Gives every number `more` webhooks like its first one. */
export async function addWebhooks(db: pg.Pool, more: number): Promise<void> {
  await db.query(
    `with hooks as (
       insert into webhooks (user_id, phone_number_id, url, secret, event_types)
       select user_id, phone_number_id, url, secret, event_types from webhooks, generate_series(1, $1)
       returning id, user_id)
     insert into webhook_queues (webhook_id, user_id) select id, user_id from hooks`,
    [more],
  )
}

/** Events as ingest would have left them, each owed to the webhook of its number; all due at the commit. */
export async function seedDeliveries(db: pg.Pool, senders: Sender[], count: number): Promise<void> {
  const client = await db.connect()
  try {
    await client.query('begin')
    await client.query(
      `with owed as (
         select s.*, n, f.last_position + row_number() over (partition by s.user_id order by n) as position
           from generate_series(0, $4 - 1) n
           join unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as s (user_id, number_id, webhook_id, ord)
                on s.ord = 1 + n % cardinality($1::bigint[])
           join feeds f on f.user_id = s.user_id),
       told as (
         insert into events (public_id, user_id, phone_number_id, position, type, payload)
         select 'evt_' || gen_random_uuid(), user_id, number_id, position, 'message.received',
                json_build_object('type', 'message.received', 'position', position, 'data', repeat('x', 400))
           from owed order by n
         returning id, phone_number_id)
       insert into deliveries (event_id, webhook_id, phone_number_id, due_at)
       select t.id, w.id, t.phone_number_id, now() from told t join webhooks w on w.phone_number_id = t.phone_number_id`,
      [senders.map((s) => s.user_id), senders.map((s) => s.phone_number_id), senders.map((s) => s.webhook_id), count],
    )
    const users = [...new Set(senders.map((s) => s.user_id))]
    await client.query(
      `update feeds f set last_position = (select max(position) from events e where e.user_id = f.user_id)
        where user_id = any($1::bigint[])`,
      [users],
    )
    await client.query('update webhook_queues set due_at = now() where webhook_id = any($1::bigint[])', [
      senders.map((s) => s.webhook_id),
    ])
    await client.query('commit')
  } finally {
    client.release()
  }
}
