import type pg from 'pg'
import { compete } from '../support/contest.js'
import { type Row, megabytes, micros, perSecond, ratio } from '../support/figures.js'
import { Clients } from '../support/load.js'
import { type Sender, seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'
import { sendCall } from './send.js'

const QUEUED = 100_000
const LANES = 64
const ROUNDS = 4
const ROUND_MS = 1_500
const MAX_MB = 300
const MAX_SLOWER = 1.3

/** Accepting into lanes of disconnected numbers, empty ones against ones in which 100,000 messages wait. */
export async function queue(stage: Stage): Promise<Row[]> {
  const blocked = async (batch: string) => {
    const senders = await seedSenders(stage.db, { batch, numbers: LANES, numbers_per_user: 8 })
    await blockLanes(stage.db, senders)
    return senders
  }
  const [empty, full] = [await blocked('empty'), await blocked('full')]
  await seedQueue(stage.db, full, QUEUED)
  const { subject, port } = await stage.startProduct()
  const contestants = [
    { name: 'empty', subject, clients: new Clients(port, empty.map(sendCall)), status: 202 },
    { name: 'full', subject, clients: new Clients(port, full.map(sendCall)), status: 202 },
  ]
  const scores = await compete(stage.db, contestants, ROUNDS, ROUND_MS)
  for (const { clients } of contestants) clients.close()
  const { rss } = await subject.cost()
  await stage.stopAll()

  const [before, after] = [scores.get('empty')!, scores.get('full')!]
  const costOf = (score: typeof before) => score.cpu_us + (score.database_us || 0)
  const slower = costOf(after) / costOf(before)
  const line = (what: string, score: typeof before) => ({
    what,
    measured: `${perSecond(score.rate)}, ${micros(costOf(score))} CPU with PostgreSQL${score.faults ? `, ${score.faults} FAULTS` : ''}`,
    bar: '',
  })
  return [
    line('accept, lanes empty at first', before),
    line(`accept, ${QUEUED.toLocaleString('en')} waiting`, after),
    { what: 'dearer by', measured: ratio(slower), bar: `≤ ${MAX_SLOWER} ×`, reached: slower <= MAX_SLOWER },
    memoryRow('memory of the process', rss),
  ]
}

export function memoryRow(what: string, bytes: number): Row {
  const bar = `≤ ${MAX_MB} MB`
  return { what, measured: megabytes(bytes), bar, reached: bytes <= MAX_MB * 1024 * 1024 }
}

async function blockLanes(db: pg.Pool, senders: Sender[]): Promise<void> {
  const ids = senders.map((sender) => sender.phone_number_id)
  await db.query(
    `update phone_numbers set status = 'disconnected', status_reason = 'connection_lost' where id = any($1::bigint[])`,
    [ids],
  )
  await db.query(
    `update lanes set blocked_reason = 'number_disconnected', blocked_since = now(), due_at = 'infinity'
      where phone_number_id = any($1::bigint[])`,
    [ids],
  )
}

async function seedQueue(db: pg.Pool, senders: Sender[], count: number): Promise<void> {
  await db.query(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, quota_day,
                           history)
     select s.user_id, s.number_id, 'outgoing', 'api', 'text', (628100000000 + n)::text,
            jsonb_build_object('text', 'Your order ' || n || ' is on its way to you.'), 'queued', current_date,
            '[{"status": "queued"}]'
       from generate_series(0, $3 - 1) n
       join unnest($1::bigint[], $2::bigint[]) with ordinality as s (user_id, number_id, ord)
            on s.ord = 1 + n % cardinality($1::bigint[])`,
    [senders.map((s) => s.user_id), senders.map((s) => s.phone_number_id), count],
  )
  await db.query('analyze messages')
}
