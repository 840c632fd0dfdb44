import type { InHand } from '../src/db/deliveries.js'
import { disableHopeless } from '../src/services/receiver-health.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, happens, seedNumber, stopClock } from './support/webhook-stage.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

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

const happen = (text: string, number = phone) => happens(app, number, text)
const work = () => app.crew.delivery.runAll()
const texts = () => sink.received.map(({ body }) => (body.data.message as { content: { text: string } }).content.text)
const redeliver = (body: object) => user.post(`/api/webhooks/${webhook.id}/redeliver`, body)
const shown = async () => (await user.get(`/api/webhooks/${webhook.id}`)).body.webhook
const deliveries = async () => (await user.get(`/api/webhooks/${webhook.id}/deliveries`)).body.deliveries
const claim = async (inHand: InHand[] = []) => {
  const limits = { total: 100, webhooks: 100, per_webhook: 10, bytes: 1_000_000 }
  const { due } = await app.ctx.deliveries.claim(limits, { webhooks: [], users: [] }, () => inHand)
  return due.filter(({ target }) => target.webhook_id === webhook.id)
}

describe('when the receiver is repaired', () => {
  it('what failed days ago is delivered again without a word about when', async () => {
    await happen('days ago')
    await app.db.query(`update webhooks set created_at = now() - interval '9 days' where id = $1`, [webhook.id])
    await app.db.query(
      `update deliveries set status = 'failed', attempts = 12, created_at = now() - interval '4 days' where webhook_id = $1`,
      [webhook.id],
    )
    expect((await redeliver({ status: 'delivered' })).body.redelivered).toBe(0)
    expect((await redeliver({ status: 'failed' })).body).toMatchObject({
      redelivered: 1,
      more: false,
      next_cursor: null,
    })
    await work()
    expect(texts()).toEqual(['days ago'])
  })

  it.each([
    ['waits for a late retry', false],
    ['has become due meanwhile', true],
  ])('a new URL gets what %s at once, in its old order', async (_what, isDue) => {
    sink.replyAlways(404)
    await happen('first')
    for (let n = 0; n < 4; n++) {
      await work()
      clock.to(Date.parse((await deliveries())[0].next_attempt_at))
    }
    await work()
    sink.received.length = 0
    sink.replyAlways(200)
    await happen('second')
    if (isDue) clock.to(Date.parse((await deliveries()).at(-1).next_attempt_at))
    const moved = await user.patch(`/api/webhooks/${webhook.id}`, { url: `${sink.url}/moved` })
    expect(moved.body.webhook.health).toBe('healthy')
    await work()
    expect(texts()).toEqual(['first', 'second'])
    expect(sink.received.map(({ path }) => path)).toEqual(['/hook/moved', '/hook/moved'])
  })

  it('a redelivery while a probe is under way adds none to it', async () => {
    await pause()
    await user.post(`/api/deliveries/${(await deliveries())[0].id}/redeliver`)
    const [probe] = await claim()
    expect(probe!.probe).toBe(true)
    await redeliver({ status: 'pending' })
    expect(await claim([probe!])).toEqual([])
    await app.ctx.deliveries.release(probe!)
    await work()
    expect((await shown()).health).toBe('healthy')
  })

  async function pause(): Promise<void> {
    sink.replyAlways(500)
    for (let n = 0; n < 10; n++) await happen(`${n}`)
    await work()
    expect((await shown()).health).toBe('paused')
    sink.replyAlways(200)
    sink.received.length = 0
  }

  it.each([
    ['a redelivery', async () => user.post(`/api/deliveries/${(await deliveries())[0].id}/redeliver`)],
    ['a redelivery of a range', () => redeliver({ status: 'pending' })],
    ['enabling it', () => user.patch(`/api/webhooks/${webhook.id}`, { enabled: true })],
  ])('%s ends the pause of an open breaker', async (_what, ask) => {
    await pause()
    await work()
    expect(texts()).toEqual([])
    expect((await ask()).body.success).toBe(true)
    await work()
    expect(texts()).not.toEqual([])
    expect((await shown()).health).toBe('healthy')
  })
})

it('a range longer than a call is gone through with the cursor, although what was delivered is delivered again', async () => {
  await app.db.query(
    `with told as (
       insert into events (public_id, user_id, phone_number_id, position, type, payload)
       select 'evt_' || gen_random_uuid(), $1, $2, n, 'message.received', '{}' from generate_series(1, 10005) n
       returning id, phone_number_id)
     insert into deliveries (event_id, webhook_id, phone_number_id, status, settled_at)
     select id, $3, phone_number_id, 'delivered', now() from told`,
    [user.id, phone.id, webhook.id],
  )
  const first = await redeliver({ status: 'delivered' })
  expect(first.body).toMatchObject({ redelivered: 10_000, more: true })
  await app.db.query(`update deliveries set status = 'delivered', settled_at = now() where webhook_id = $1`, [
    webhook.id,
  ])
  const second = await redeliver({ status: 'delivered', cursor: first.body.next_cursor })
  expect(second.body).toMatchObject({ redelivered: 5, more: false, next_cursor: null })
  await app.db.query('delete from deliveries where webhook_id = $1', [webhook.id])
  const wrong = await redeliver({ cursor: 'elsewhere' })
  expect([wrong.status, wrong.body.error.code]).toEqual([400, 'invalid_request'])
})

describe('late answers', () => {
  let other: Seeded
  beforeEach(async () => {
    other = await seedNumber(app, user)
  })

  it('a probe that is given back when the receiver is well again leaves nothing paused', async () => {
    sink.replyWith({ status: 429, headers: { 'retry-after': '2' } })
    await happen('refused')
    await happen('slow', other)
    const [refused, slow] = await claim()
    await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(refused!))
    clock.by(3_000)
    await happen('after the pause', other)
    const [probe] = await claim([slow!])
    expect(probe!.probe).toBe(true)
    await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(slow!))
    await app.ctx.deliveries.release(probe!)
    const { rows } = await app.db.query('select failing_since, open_until from webhook_queues where webhook_id = $1', [
      webhook.id,
    ])
    expect(rows).toEqual([{ failing_since: null, open_until: null }])
    clock.by(DAY)
    await work()
    expect(texts().sort()).toEqual(['after the pause', 'refused', 'refused', 'slow'])
  })

  it('failures of an old URL do not pause its new one', async () => {
    sink.replyWith({ status: 503, headers: { 'retry-after': '900' } })
    await happen('a')
    const [a] = await claim()
    await user.patch(`/api/webhooks/${webhook.id}`, { url: `${sink.url}/new` })
    await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(a!))
    expect(await shown()).toMatchObject({ health: 'healthy', failing_since: null })
  })

  it('the 410 of an old URL does not disable the webhook at its new one', async () => {
    sink.replyWith(410, 410)
    await happen('a')
    await happen('b', other)
    const [a, b] = await claim()
    await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(a!))
    expect((await shown()).disabled_reason).toBe('gone')
    await user.patch(`/api/webhooks/${webhook.id}`, { url: `${sink.url}/new`, enabled: true })
    await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(b!))
    expect(await shown()).toMatchObject({ enabled: true, disabled_reason: null })
    await happen('c')
    await work()
    expect(sink.received.map(({ path }) => path)).toEqual(['/hook', '/hook', '/hook/new'])
  })
})

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
