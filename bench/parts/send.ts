import { randomUUID } from 'node:crypto'
import { type Contestant, type Score, compete } from '../support/contest.js'
import { type Row, atLeast, micros, perSecond } from '../support/figures.js'
import { Clients, post } from '../support/load.js'
import { type Sender, seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'

const NUMBERS = 256
const ROUNDS = 6
const ROUND_MS = 2_000

/** Every call has a key of its own, so that nothing is answered from memory. */
export function sendCall({ api_key, token }: Pick<Sender, 'api_key' | 'token'>) {
  const body = JSON.stringify({ token, number: '6281234567890', text: 'Your order 4711 is on its way to you.' })
  return () => post('/api/messages/send-text', { 'x-api-key': api_key, 'idempotency-key': randomUUID() }, body)
}

/** The full send path of one process against the same call passed on bare, and written the naive way. */
export async function send(stage: Stage): Promise<Row[]> {
  const senders = await seedSenders(stage.db, { batch: 'send', numbers: NUMBERS, numbers_per_user: 16 })
  const calls = senders.map(sendCall)
  const contestant = async (name: string, server: Promise<{ subject: Contestant['subject']; port: number }>) => {
    const { subject, port } = await server
    return { name, subject, clients: new Clients(port, calls) }
  }
  await seedNaive(stage, senders)
  const engine = { ENGINE_URL: stage.engine_url }
  const contestants = [
    await contestant('B1', stage.startBaseline('bare-http', engine)),
    await contestant('B2', stage.startBaseline('bare-express', engine)),
    await contestant('B4', stage.startBaseline('naive', naiveEnvironment(stage))),
    await contestant('product', stage.startProduct()),
  ]
  const scores = await compete(stage.db, contestants, ROUNDS, ROUND_MS)
  for (const { clients } of contestants) clients.close()
  await stage.stopAll()
  return rowsOf(scores, stage.redis_url !== undefined)
}

function rowsOf(scores: Map<string, Score>, withRedis: boolean): Row[] {
  const of = (name: string) => scores.get(name)!
  const line = (what: string, { rate, cpu_us, database_us, faults }: Score) => ({
    what,
    measured: `${perSecond(rate)}, ${micros(cpu_us)} CPU${database_us > 5 ? ` + ${micros(database_us)} of PostgreSQL` : ''}${faults ? `, ${faults} FAULTS` : ''}`,
    bar: '',
  })
  const product = of('product')
  const against = (name: string, bar: number) => [
    atLeast(`rate against ${name}`, product.rate / of(name).rate, bar),
    atLeast(`CPU against ${name}`, of(name).cpu_us / product.cpu_us, bar),
  ]
  return [
    line('B1 node:http + undici', of('B1')),
    line('B2 Express 5 + undici', of('B2')),
    line(`B4 the naive way${withRedis ? '' : ' (Redis replaced by a Map)'}`, of('B4')),
    line('product, full send path', product),
    ...against('B2', 0.5),
    ...against('B4', 2),
  ]
}

function naiveEnvironment(stage: Stage): Record<string, string> {
  const given = { ENGINE_URL: stage.engine_url, DATABASE_URL: stage.database_url }
  return stage.redis_url ? { ...given, REDIS_URL: stage.redis_url } : given
}

async function seedNaive({ db }: Stage, senders: Sender[]): Promise<void> {
  await db.query(`
    create schema naive;
    create table naive.users (id bigint primary key, api_key text unique, daily_limit integer);
    create table naive.numbers (id bigint primary key, user_id bigint, token text unique, instance text);
    create table naive.usage (user_id bigint, day date, used integer, primary key (user_id, day));
    create table naive.messages (
      id bigint generated always as identity primary key, user_id bigint, number_id bigint, recipient text, content jsonb,
      status text, whatsapp_id text, created_at timestamptz default now(), sent_at timestamptz);
    create index on naive.messages (user_id, id)`)
  const users = new Map(senders.map(({ user_id, api_key }) => [user_id, api_key]))
  await db.query('insert into naive.users select *, 1000000000 from unnest($1::bigint[], $2::text[])', [
    [...users.keys()],
    [...users.values()],
  ])
  await db.query('insert into naive.numbers select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])', [
    senders.map((sender) => sender.phone_number_id),
    senders.map((sender) => sender.user_id),
    senders.map((sender) => sender.token),
    senders.map((sender) => sender.instance_name),
  ])
}
