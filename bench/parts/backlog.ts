import { setTimeout as sleep } from 'node:timers/promises'
import type { Row } from '../support/figures.js'
import { Receiver } from '../support/receiver.js'
import { seedDeliveries, seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'
import { memoryRow } from './queue.js'

const DELIVERIES = 100_000
const WEBHOOKS = 200
const WATCH_MS = 15_000

/** A backlog of 100,000 deliveries to receivers that take a second each: as much in hand as there can be. */
export async function backlog(stage: Stage): Promise<Row[]> {
  const receiver = await Receiver.open()
  receiver.delay_ms = 1_000
  const wish = { batch: 'backlog', numbers: WEBHOOKS, numbers_per_user: 1, webhook_urls: receiver.urls }
  await seedDeliveries(stage.db, await seedSenders(stage.db, wish), DELIVERIES)
  const { subject } = await stage.startProduct()
  let peak = 0
  for (const end = Date.now() + WATCH_MS; Date.now() < end; await sleep(250))
    peak = Math.max(peak, (await subject.cost()).rss)
  await stage.stopAll()
  receiver.close()
  return [
    { what: 'delivered meanwhile', measured: `${receiver.count} in ${WATCH_MS / 1000} s`, bar: '' },
    memoryRow('peak memory of the process', peak),
  ]
}
