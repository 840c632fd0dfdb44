import { type Row, median, millis } from '../support/figures.js'
import { Clients } from '../support/load.js'
import { seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'
import { sendCall } from './send.js'

const ROUNDS = 5
const CALLS = 120
const OWN_MS = 4

/** What one send costs when nothing else is going on: in durable commits of the same database, taken in turn. */
export async function lone(stage: Stage): Promise<Row[]> {
  const [sender] = await seedSenders(stage.db, { batch: 'lone', numbers: 1, numbers_per_user: 1 })
  const bare = await stage.startBaseline('bare-express', { ENGINE_URL: stage.engine_url })
  const product = await stage.startProduct()
  const clients = {
    bare: new Clients(bare.port, [sendCall(sender!)]),
    product: new Clients(product.port, [sendCall(sender!)]),
  }
  await stage.db.query('create table commits (id bigint generated always as identity primary key, at timestamptz)')
  const samples = { commit: [] as number[], bare: [] as number[], product: [] as number[] }
  for (let round = -1; round < ROUNDS; round++) {
    const commit = await commitTimes(stage)
    const passed = (await clients.bare.drive({ ms: 10_000, count: CALLS })).latencies
    const sent = (await clients.product.drive({ ms: 10_000, count: CALLS })).latencies
    if (round < 0) continue // warm-up
    samples.commit.push(...commit)
    samples.bare.push(...passed)
    samples.product.push(...sent)
  }
  clients.bare.close()
  clients.product.close()
  await stage.stopAll()

  const [commit, passed, sent] = [median(samples.commit), median(samples.bare), median(samples.product)]
  const allowed = 2 * commit + OWN_MS
  return [
    { what: 'a durable commit of this database', measured: millis(commit), bar: '' },
    { what: 'B2, one caller', measured: millis(passed), bar: '' },
    { what: 'product, one caller', measured: millis(sent), bar: '' },
    {
      what: 'added by the product',
      measured: millis(sent - passed),
      bar: `≤ 2 commits + ${OWN_MS} ms = ${millis(allowed)}`,
      reached: sent - passed <= allowed,
    },
  ]
}

async function commitTimes({ db }: Stage): Promise<number[]> {
  const client = await db.connect()
  const times: number[] = []
  for (let n = 0; n < CALLS; n++) {
    const began = performance.now()
    await client.query('insert into commits (at) values (now())')
    times.push(performance.now() - began)
  }
  client.release()
  return times
}
