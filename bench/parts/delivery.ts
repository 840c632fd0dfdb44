import { setTimeout as sleep } from 'node:timers/promises'
import { type Row, atLeast, median, micros, perSecond } from '../support/figures.js'
import type { Subject } from '../support/process.js'
import { Receiver } from '../support/receiver.js'
import { type Sender, seedDeliveries, seedSenders } from '../support/seed.js'
import type { Stage } from '../support/stage.js'

const WEBHOOKS = 128
const PER_ROUND = 25_600
const ROUNDS = 5
const BODY_BYTES = 560

interface Heat {
  rate: number
  cpu_us: number
}

/** Claim, guard, sign, post, judge, record and settle, against a loop that only posts. */
export async function delivery(stage: Stage): Promise<Row[]> {
  const receiver = await Receiver.open()
  const wish = { batch: 'delivery', numbers: WEBHOOKS, numbers_per_user: 1, webhook_urls: receiver.urls }
  const senders = await seedSenders(stage.db, wish)
  const loop = await stage.startLoop('post-loop', {
    RECEIVER_URLS: receiver.urls.join(','),
    BODY_BYTES: String(BODY_BYTES),
  })
  const { subject: worker } = await stage.startProduct({ ROLE: 'worker' })
  const heats = { bare: [] as Heat[], product: [] as Heat[] }
  for (let round = -1; round < ROUNDS; round++) {
    const bare = await runLoop(loop)
    const product = await runWorker(stage, worker, receiver, senders)
    if (round < 0) continue // warm-up
    heats.bare.push(bare)
    heats.product.push(product)
  }
  await stage.stopAll()
  receiver.close()

  const scoreOf = (all: Heat[]) => ({ rate: median(all.map((h) => h.rate)), cpu_us: median(all.map((h) => h.cpu_us)) })
  const [bare, own] = [scoreOf(heats.bare), scoreOf(heats.product)]
  const line = (what: string, { rate, cpu_us }: Heat) => ({
    what,
    measured: `${perSecond(rate)}, ${micros(cpu_us)} CPU`,
    bar: '',
  })
  return [
    line('undici POST loop', bare),
    line(`product, ${WEBHOOKS} webhooks, attempt and outcome committed`, own),
    atLeast('rate against the loop', own.rate / bare.rate, 0.4),
    atLeast('CPU against the loop', bare.cpu_us / own.cpu_us, 0.4),
  ]
}

async function runLoop(loop: Subject): Promise<Heat> {
  const before = await loop.cost()
  const { ms } = await loop.ask<{ ms: number }>(PER_ROUND)
  const after = await loop.cost()
  return { rate: (PER_ROUND / ms) * 1000, cpu_us: (after.cpu_us - before.cpu_us) / PER_ROUND }
}

/** From the first post to the last commit; the worker finds the work by itself, as after a missed hint. */
async function runWorker({ db }: Stage, worker: Subject, receiver: Receiver, senders: Sender[]): Promise<Heat> {
  receiver.reset()
  const before = await worker.cost()
  await seedDeliveries(db, senders, PER_ROUND)
  const end = Date.now() + 60_000
  for (;;) {
    await sleep(receiver.count < PER_ROUND ? 20 : 2)
    if (receiver.count < PER_ROUND && Date.now() < end) continue
    const { rows } = await db.query<{ n: string }>(`select count(*) as n from pending_deliveries`)
    if (Number(rows[0]!.n) === 0) break
    if (Date.now() > end) throw new Error(`${rows[0]!.n} deliveries were not made within a minute.`)
  }
  const ms = performance.now() - receiver.first
  const after = await worker.cost()
  return { rate: (PER_ROUND / ms) * 1000, cpu_us: (after.cpu_us - before.cpu_us) / PER_ROUND }
}
