import { setTimeout as pause } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { differences } from '../support/open-deliveries.js'
import { startTestApp } from '../support/test-app.js'
import { type Faulty, SHORT, startFaulty } from '../support/webhook-faults.js'
import { type Behaviour, Receivers } from '../support/webhook-receivers.js'
import { createWebhook, incomingText, seedNumber, stopClock, tell } from '../support/webhook-stage.js'

const EVENTS = SHORT ? 1_000 : 10_000

/** Fails three times in ten, in every way a receiver can; a time-out is rare because it takes 15 s. */
function flaky(hangs: boolean): Behaviour {
  if (Math.random() >= 0.3) return Math.random() < 0.02 ? { status: 200, after_ms: 300 } : 200
  const way = Math.random()
  if (hangs && way < 0.001) return 'hang'
  return way < 0.4 ? 'reset' : way < 0.7 ? 500 : { status: 503, after_ms: 100 }
}

it(`delivers ${EVENTS} events to a receiver that fails 30 %, each accepted once (promise 4)`, async () => {
  const app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
  const receivers = await Receivers.start(() => flaky(true))
  const user = await app.createUser()
  const numbers = await Promise.all(Array.from({ length: 10 }, () => seedNumber(app, user)))
  const webhook = await createWebhook(user, { url: receivers.url('/flaky'), event_types: ['*'] })
  for (let n = 0; n < EVENTS; n += 50)
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const { engine_name } = numbers[(n + i) % numbers.length]!
        expect(await tell(app.url, engine_name, incomingText(engine_name, `${n + i}`))).toBe(200)
      }),
    )
  const clock = stopClock(app)
  for (;;) {
    await app.crew.delivery.runAll()
    const { rows } = await app.db.query<{ due_at: Date | null }>(
      `select greatest(min(d.due_at), (select open_until from webhook_queues)) as due_at from pending_deliveries d`,
    )
    if (rows[0]!.due_at === null) break
    clock.to(rows[0]!.due_at.getTime() + 1_000)
  }
  const counts = receivers.acceptedCounts()
  expect(counts.size).toBe(EVENTS)
  expect([...counts.values()].filter((n) => n !== 1)).toEqual([])
  const { rows } = await app.db.query<{ n: number; attempts: number }>(
    `select count(*) filter (where status = 'delivered') as n, sum(attempts) as attempts from delivery_details`,
  )
  expect(rows[0]).toEqual({ n: EVENTS, attempts: receivers.seen.length })
  const verifier = new Webhook(webhook.secret)
  // The clock was moved days ahead; a receiver would see the time of its own.
  const { text, webhook_id, headers } = receivers.seen[0]!
  expect(webhook_id).toBe(JSON.parse(text).id)
  expect(() => verifier.verify(text, headers as never)).not.toThrow()
  await app.stop()
  await receivers.stop()
})

describe('with kills', () => {
  let faulty: Faulty
  beforeAll(async () => {
    faulty = await startFaulty()
  })
  afterAll(() => faulty.stop())

  it(`loses none of ${EVENTS} events while the process is killed ${SHORT ? 2 : 5} times and the receiver fails 30 %`, async () => {
    const receivers = await Receivers.start(() => flaky(false))
    const user = await faulty.createUser()
    const numbers = [await seedNumber(faulty, user), await seedNumber(faulty, user), await seedNumber(faulty, user)]
    await createWebhook(user, { url: receivers.url('/flaky'), event_types: ['*'] })
    let told = 0
    const writers = Array.from({ length: 8 }, async () => {
      while (told < EVENTS) {
        const n = told++
        const { engine_name } = numbers[n % numbers.length]!
        const body = JSON.stringify(incomingText(engine_name, `${n}`, `N${n}`))
        while ((await tell(faulty.url, engine_name, body).catch(() => 0)) !== 200) await pause(50)
      }
    })
    for (let kill = 0; kill < (SHORT ? 2 : 5); kill++) {
      await pause(1_000)
      await faulty.app.kill()
      await faulty.app.start()
    }
    await Promise.all(writers)
    // What killed processes had in hand comes back when its lease lapses; the short form does not wait for that.
    await faulty.app.kill('SIGTERM')
    if (SHORT) await faulty.db.query(`update deliveries set due_at = now() where status = 'pending'`)
    if (SHORT) await faulty.db.query('update webhook_queues set holder = null, held_until = null')
    await faulty.app.start()
    await untilAllSettled(faulty)
    const counts = receivers.acceptedCounts()
    const repeated = [...counts.values()].filter((n) => n > 1).length
    console.log(`${counts.size} events arrived, ${repeated} of them twice, ${receivers.seen.length} attempts seen`)
    expect(counts.size).toBe(EVENTS)
    // Only what was in flight at a kill can come twice: its answer was lost.
    expect(repeated).toBeLessThanOrEqual((SHORT ? 2 : 5) * 300)
    const { rows } = await faulty.db.query<{ status: string; n: number }>(
      'select status, count(*) as n from delivery_details group by status',
    )
    expect(rows).toEqual([{ status: 'delivered', n: EVENTS }])
    expect(await differences(faulty.db)).toEqual([])
    await receivers.stop()
  })
})

/** Waits for the holds of killed processes; pauses of the schedule are cut short in the database. */
async function untilAllSettled({ db }: Faulty): Promise<void> {
  for (;;) {
    const { rows } = await db.query<{ n: number }>('select count(*) as n from pending_deliveries')
    if (rows[0]!.n === 0) return
    await db.query(`update deliveries set due_at = now() where status = 'pending' and due_at > now()`)
    await db.query('update webhook_queues set due_at = now(), open_until = null, opened = 0, failures = 0')
    await pause(500)
  }
}
