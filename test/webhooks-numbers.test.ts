import { DeliveryWorker } from '../src/workers/delivery-worker.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { type Received, type Reply, WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, happens, seedNumber, stopClock } from './support/webhook-stage.js'

// One webhook gets the events of two numbers, and its receiver has trouble with those of one of them.
let app: TestApp
let sink: WebhookSink
let user: TestUser
let bad: Seeded
let good: Seeded
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
})
afterAll(() => app.stop())
beforeEach(async () => {
  sink = await WebhookSink.start()
  user = await app.createUser()
  bad = await seedNumber(app, user)
  good = await seedNumber(app, user)
  await createWebhook(user, { url: sink.url })
  for (let n = 0; n < 30; n++) await happens(app, bad, `bad ${n}`)
  await happens(app, good, 'good')
})
afterEach(() => sink.stop())

const numberOf = ({ body }: Received) => (body.phone_number as { id: number }).id
const postsOf = (number: Seeded) => sink.received.filter((got) => numberOf(got) === number.id).length
const refuseBad = (how: Reply) => sink.replyAlways((got) => (numberOf(got) === bad.id ? how : 200))

it('an open breaker tries the numbers in turn, and of each what was never tried', async () => {
  refuseBad(500)
  const clock = stopClock(app)
  for (let probes = 0; postsOf(good) === 0 && probes < 40; clock.by(900_000)) {
    const before = sink.received.length
    await app.crew.delivery.runAll()
    if (sink.received.length > before) probes++
  }
  clock.go()
  expect(postsOf(good)).toBe(1)
})

it('what waits behind a slow failure goes back, so that others have its place', async () => {
  refuseBad('hang')
  const worker = new DeliveryWorker(app.ctx.deliveries, app.ctx.bus, app.ctx.log, { slow_ms: 0 })
  worker.start()
  await eventually(() => Promise.resolve(postsOf(bad) === 1))
  expect(postsOf(good)).toBe(0) // the first claim is all of the bad one's
  sink.letGo(503)
  await eventually(() => Promise.resolve(postsOf(good) === 1))
  expect(postsOf(bad)).toBeLessThanOrEqual(2)
  sink.replyAlways(200)
  sink.letGo(200)
  await worker.stop()
})
