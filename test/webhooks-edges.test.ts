import type { InHand } from '../src/db/deliveries.js'
import { disableHopeless } from '../src/services/receiver-health.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, incomingText, seedNumber, stopClock, tell } from './support/webhook-stage.js'

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: Seeded
let webhook: { id: number; secret: string }
let clock: ReturnType<typeof stopClock>

// Nobody works here without being asked: each attempt is driven.
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
})
afterAll(() => app.stop())
beforeEach(async () => {
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await seedNumber(app, user)
  webhook = await createWebhook(user, { url: sink.url, event_types: ['message.received'] })
  clock = stopClock(app)
})
afterEach(() => sink.stop())

const happen = async (text: string, number = phone) => {
  expect(await tell(app.url, number.engine_name, incomingText(number.engine_name, text))).toBe(200)
}
const work = () => app.crew.delivery.runAll()
const redeliver = (body: object) => user.post(`/api/webhooks/${webhook.id}/redeliver`, body)
const shown = async () => (await user.get(`/api/webhooks/${webhook.id}`)).body.webhook
const deliveries = async () => (await user.get(`/api/webhooks/${webhook.id}/deliveries`)).body.deliveries
const claim = async (inHand: InHand[] = []) => {
  const limits = { total: 100, webhooks: 100, per_webhook: 10, bytes: 1_000_000 }
  const { due } = await app.ctx.deliveries.claim(limits, { webhooks: [], users: [] }, () => inHand)
  return due.filter(({ target }) => target.webhook_id === webhook.id)
}

it('what is delivered again after all its attempts has the whole schedule before it', async () => {
  sink.replyAlways(500)
  await happen('given up')
  await work()
  await app.db.query(`update deliveries set status = 'failed', attempts = 12 where webhook_id = $1`, [webhook.id])
  expect((await redeliver({ status: 'failed' })).body.redelivered).toBe(1)
  await work()
  const [again] = await deliveries()
  expect(again).toMatchObject({ status: 'pending', attempt_count: 13 })
  const pause = Date.parse(again.next_attempt_at) - clock.now.getTime()
  expect(pause).toBeGreaterThan(0)
  expect(pause).toBeLessThanOrEqual(6_000)
})

it('the late outcome of a worker that was stopped past its lease says nothing about the receiver', async () => {
  const replica = await app.startReplica({ ROLE: 'api' })
  replica.context.clock.now = () => clock.now
  await happen('taken over')
  const [claimed] = await claim()
  sink.replyWith(410)
  const late = await app.ctx.deliveries.attempt(claimed!)
  clock.by(46_000)
  await replica.crew.delivery.runAll()
  await app.ctx.deliveries.record(late)
  expect(await shown()).toMatchObject({ enabled: true, health: 'healthy', failing_since: null })
  await replica.close()
})

it('a webhook that got another address in the moment of being disabled stays enabled', async () => {
  const hopeless = { id: webhook.id, user_id: user.id, url: sink.url, gone: true }
  await user.patch(`/api/webhooks/${webhook.id}`, { url: `${sink.url}/new` })
  await disableHopeless(app.db, app.ctx.bus, app.ctx.log, hopeless, clock.now)
  expect(await shown()).toMatchObject({ enabled: true, disabled_reason: null })
})

it('an attempt that is broken off because the server stops spends nothing and blames nobody', async () => {
  const replica = await app.startReplica({ ROLE: 'api' })
  replica.context.clock.now = () => clock.now
  sink.replyWith('hang')
  await happen('broken off')
  const running = replica.crew.delivery.runAll()
  await eventually(() => expect(sink.received).toHaveLength(1))
  const stopped = replica.crew.delivery.stop()
  replica.context.deliveries.breakOff() // as it does by itself when the grace is over
  await Promise.all([stopped, running])
  expect(await deliveries()).toMatchObject([{ status: 'pending', attempt_count: 0 }])
  expect(await shown()).toMatchObject({ health: 'healthy', failing_since: null })
  await replica.close()
})

it('a webhook of one number is owed nothing of the others when what it missed is asked for', async () => {
  const other = await seedNumber(app, user)
  const own = await user.post('/api/webhooks', {
    url: sink.url,
    event_types: ['*'],
    phone_number_id: phone.id,
    enabled: false,
  })
  await happen('its own')
  await happen('of the other', other)
  const { id } = own.body.webhook
  await user.patch(`/api/webhooks/${id}`, { enabled: true })
  const missing = await user.post(`/api/webhooks/${id}/redeliver`, { status: 'missing' })
  expect(missing.body.redelivered).toBe(1)
  const { body } = await user.get(`/api/webhooks/${id}/deliveries`)
  expect(body.deliveries.map((one: { phone_number_id: number }) => one.phone_number_id)).toEqual([phone.id])
})

it('webhooks of a number go with it, also those that are disabled', async () => {
  const { id } = await createWebhook(user, { url: sink.url, phone_number_id: phone.id })
  await user.patch(`/api/webhooks/${id}`, { enabled: false })
  await user.delete(`/api/phone-numbers/${phone.id}`)
  expect((await user.get(`/api/webhooks/${id}`)).status).toBe(404)
})
