import type pg from 'pg'
import { compete } from '../support/contest.js'
import { type Row, micros, ratio } from '../support/figures.js'
import { Clients } from '../support/load.js'
import { seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'
import { sendCall } from './send.js'

const NUMBERS = 128
const ROUNDS = 6
const ROUND_MS = 2_000
const MAX_DEARER = 1.3
/** BENCH_LARGE=0.1 makes it a tenth: 10,000,000 messages with their indexes take some 7 GB and several minutes. */
const SCALE = Number(process.env.BENCH_LARGE ?? 1)
const USERS = Math.round(1_000_000 * SCALE)
const MESSAGES = Math.round(10_000_000 * SCALE)
const STEP = 100_000

/** The send path in a small database, and the same in one with 1,000,000 users and 10,000,000 messages. */
export async function large(stage: Stage): Promise<Row[]> {
  const small = await cost(stage, 'small')
  const began = performance.now()
  await fill(stage.db)
  const minutes = (performance.now() - began) / 60_000
  const big = await cost(stage, 'large')
  const { rows } = await stage.db.query<{ size: string }>(
    'select pg_size_pretty(pg_database_size(current_database())) as size',
  )
  const dearer = big.total / small.total
  const describe = ({ own, database }: typeof small) => `${micros(own)} CPU + ${micros(database)} of PostgreSQL`
  return [
    { what: 'small: 128 numbers, a few thousand messages', measured: describe(small), bar: '' },
    {
      what: `large: ${USERS.toLocaleString('en')} users, ${MESSAGES.toLocaleString('en')} messages`,
      measured: `${describe(big)}; ${rows[0]!.size}, filled in ${minutes.toFixed(1)} min`,
      bar: '',
    },
    { what: 'dearer by', measured: ratio(dearer), bar: `≤ ${MAX_DEARER} ×`, reached: dearer <= MAX_DEARER },
  ]
}

async function cost(stage: Stage, batch: string) {
  const senders = await seedSenders(stage.db, { batch, numbers: NUMBERS, numbers_per_user: 8 })
  const { subject, port } = await stage.startProduct()
  const clients = new Clients(port, senders.map(sendCall))
  const score = (await compete(stage.db, [{ name: batch, subject, clients }], ROUNDS, ROUND_MS)).get(batch)!
  clients.close()
  await stage.stopAll()
  return { own: score.cpu_us, database: score.database_us || 0, total: score.cpu_us + (score.database_us || 0) }
}

/** Every user has a number and ten messages of the last month. */
async function fill(db: pg.Pool): Promise<void> {
  await db.query(
    `insert into users (email, password_hash, api_key, plan_type, max_phone_numbers, max_messages_per_day, time_zone)
     select 'crowd' || n || '@bench.example', '-', 'wsk_…', 'starter', 3, 1000, 'Asia/Jakarta'
       from generate_series(1, $1) n`,
    [USERS],
  )
  await db.query(`
    insert into feeds (user_id) select id from users where email like 'crowd%';
    insert into api_keys (user_id, name, key_hash, hint)
    select id, 'crowd', sha256(email::bytea), 'wsk_…' from users where email like 'crowd%';
    insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, status, first_connected_at)
    select id, 'bench-1', 'crowd_' || id, 'crowd_token_' || id, 'Crowd', 'connected', now()
      from users where email like 'crowd%';
    insert into lanes (phone_number_id) select id from phone_numbers where instance_name like 'crowd%';`)
  for (let from = 0; from < MESSAGES; from += STEP) await fillMessages(db, from, Math.min(STEP, MESSAGES - from))
  await db.query('vacuum analyze')
}

async function fillMessages(db: pg.Pool, from: number, count: number): Promise<void> {
  await db.query(
    `with crowd as (select min(id) as first, count(*) as size from phone_numbers where instance_name like 'crowd%')
     insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, quota_day,
                           whatsapp_id, created_at, sent_at, delivered_at, history)
     select p.user_id, p.id, 'outgoing', 'api', 'text', (628100000000 + n % 50000)::text,
            jsonb_build_object('text', 'Your order ' || n || ' is on its way to you.'), 'delivered', current_date,
            'CROWD' || n, now() - interval '30 days' * random(), now(), now(), '[{"status": "delivered"}]'
       from crowd, generate_series($1::bigint, $1 + $2 - 1) n, phone_numbers p
      where p.id = crowd.first + n % crowd.size`,
    [from, count],
  )
}
