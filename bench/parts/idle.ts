import { setTimeout as sleep } from 'node:timers/promises'
import { databaseCost } from '../support/database-cost.js'
import type { Row } from '../support/figures.js'
import { addWebhooks, seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'

const NUMBERS = 1_000
const WEBHOOKS_EACH = 10
const SETTLE_MS = 4_000
const WATCH_MS = 15_000

/** What a process with all its workers costs while nothing happens. */
export async function idle(stage: Stage): Promise<Row[]> {
  await seedSenders(stage.db, { batch: 'idle', numbers: NUMBERS, numbers_per_user: 10 })
  await addWebhooks(stage.db, WEBHOOKS_EACH - 1)
  const { subject } = await stage.startProduct()
  await sleep(SETTLE_MS)
  const before = { own: await subject.cost(), database: await databaseCost(stage.db) }
  await sleep(WATCH_MS)
  const after = { own: await subject.cost(), database: await databaseCost(stage.db) }
  await stage.stopAll()
  const share = (us: number) => us / (WATCH_MS * 10)
  const own = share(after.own.cpu_us - before.own.cpu_us)
  const rows = [
    {
      what: 'process with all workers',
      measured: `${own.toFixed(2)} % of a core`,
      bar: '< 2 %',
      reached: own < 2,
    },
  ]
  if (before.database === undefined || after.database === undefined) return rows
  const database = share(after.database - before.database)
  return [...rows, { what: 'PostgreSQL meanwhile', measured: `${database.toFixed(2)} % of a core`, bar: '' }]
}
