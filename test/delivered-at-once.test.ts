import * as deliveryOutcomes from '../src/db/delivery-outcomes.js'
import * as redelivery from '../src/db/redelivery.js'
import type { Finished } from '../src/services/deliveries.js'
import { differences } from './support/open-deliveries.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, happens, seedNumber } from './support/webhook-stage.js'

// A delivery whose first attempt succeeds is not written again (docs/adr/0011). Nobody works here without being asked.
let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: Seeded
let webhook: { id: number }
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api', WEBHOOK_LOG_DAYS: '10' }, servers: 1 })
  sink = await WebhookSink.start()
})
afterAll(async () => {
  expect(await differences(app.db)).toEqual([])
  await app.stop()
  await sink.stop()
})
beforeEach(async () => {
  user = await app.createUser()
  phone = await seedNumber(app, user)
  webhook = await createWebhook(user, { url: sink.url })
  sink.received.length = 0
})

const waiting = (n: number) => eventually(async () => (await app.lockWaiters()) >= n)
const work = () => app.crew.delivery.runAll()
const listed = async (query = '') => (await user.get(`/api/webhooks/${webhook.id}/deliveries${query}`)).body.deliveries
const stored = async () => {
  const { rows } = await app.db.query('select xmin, * from deliveries where webhook_id = $1', [webhook.id])
  return rows as { id: number; status: string }[]
}
/** An event claimed and posted; what came of it is not written yet. */
async function tried() {
  await happens(app, phone, 'once')
  return claimed()
}
/** The second attempt of one that failed. */
async function triedAgain() {
  sink.replyWith(500)
  await app.ctx.deliveries.record(await tried())
  await app.db.query('update deliveries set due_at = now() where webhook_id = $1', [webhook.id])
  await app.db.query('update webhook_queues set due_at = now() where webhook_id = $1', [webhook.id])
  return claimed()
}
async function claimed() {
  const { due } = await app.ctx.deliveries.claim(
    { total: 10, webhooks: 10, per_webhook: 10, bytes: 1_000_000 },
    { webhooks: [], users: [] },
    () => [],
  )
  return app.ctx.deliveries.attempt(due.find(({ target }) => target.webhook_id === webhook.id)!)
}
const holder = async () => {
  const { rows } = await app.db.query<{ holder: string }>('select holder from webhook_queues where webhook_id = $1', [
    webhook.id,
  ])
  return rows[0]!.holder
}
const outcomeOf = ({ delivery, sent_at }: Finished): deliveryOutcomes.Outcome => ({
  ...{ delivery_id: delivery.id, version: delivery.version, status: 'delivered', due_at: null, attempt: 1 },
  ...{ event_id: delivery.event_id, event_type: delivery.event_type, status_code: 200, error: null, sent_at },
  ...{ response_time_ms: 1, response_body: 'ok' },
})
const attemptsOf = async (id: number): Promise<number[]> => {
  const { delivery } = (await user.get(`/api/deliveries/${id}`)).body
  return delivery.attempts.map((one: { attempt: number }) => one.attempt)
}

it('is shown as delivered, by all that lists it, while its row is as it was', async () => {
  await happens(app, phone, 'hello')
  const before = await stored()
  const begun = Date.now()
  await work()
  expect(await stored()).toEqual(before)
  const [shown] = await listed()
  expect(shown).toMatchObject({ status: 'delivered', attempt_count: 1, next_attempt_at: null, held: false })
  expect(Date.parse(shown.settled_at)).toBeGreaterThanOrEqual(begun)
  expect(Date.parse(shown.settled_at)).toBeLessThanOrEqual(Date.now())
  expect(await listed('?status=delivered')).toEqual([shown])
  expect([...(await listed('?status=pending')), ...(await listed('?status=failed'))]).toEqual([])
  expect((await user.get(`/api/deliveries/${shown.id}`)).body.delivery).toMatchObject(shown)
  expect((await user.get(`/api/webhooks/${webhook.id}`)).body.webhook.pending_deliveries).toBe(0)
})

it.each(['it', 'a range'])('is owed again when %s is asked for, and its attempts are counted on', async (which) => {
  await happens(app, phone, 'hello')
  await work()
  const { id } = (await stored())[0]!
  const answer = await (which === 'it'
    ? user.post(`/api/deliveries/${id}/redeliver`)
    : user.post(`/api/webhooks/${webhook.id}/redeliver`, { status: 'delivered' }))
  expect(answer.status).toBe(202)
  expect(await listed()).toMatchObject([{ status: 'pending', attempt_count: 1, settled_at: null }])
  await work()
  expect(await listed()).toMatchObject([{ status: 'delivered', attempt_count: 2 }])
  expect([await attemptsOf(id), sink.received.length]).toEqual([[1, 2], 2])
})

it('a redelivery that meets its outcome counts it, and one that comes first makes it late', async () => {
  const finished = await tried()
  const { id } = finished.delivery
  // The outcome has been written and is not committed when the delivery is asked for again.
  const asked = await app.db.transaction(async (tx) => {
    expect(await deliveryOutcomes.settle(tx, await holder(), new Date(), [outcomeOf(finished)])).toEqual(new Set())
    const again = user.post(`/api/deliveries/${id}/redeliver`).then((answer) => answer)
    await waiting(1)
    return [again]
  })
  await Promise.all(asked)
  expect(await listed()).toMatchObject([{ status: 'pending', attempt_count: 1 }])
  await work()
  expect([await attemptsOf(id), await listed()]).toMatchObject([[1, 2], [{ status: 'delivered', attempt_count: 2 }]])

  webhook = await createWebhook(user, { url: sink.url })
  const overtaken = await tried()
  const recorded = await app.db.transaction(async (tx) => {
    expect(await redelivery.redeliver(tx, overtaken.delivery.id, null)).toBe(true)
    const recorded = app.ctx.deliveries.record(overtaken)
    await waiting(1)
    return [recorded]
  })
  await Promise.all(recorded)
  expect(await listed()).toMatchObject([{ status: 'pending', attempt_count: 0 }])
  await work()
})

it('two redeliveries that meet count no attempt of what was never tried', async () => {
  await happens(app, phone, 'hello')
  const { id } = (await stored())[0]!
  const asked = await app.db.transaction(async (tx) => {
    expect(await redelivery.redeliver(tx, id, null)).toBe(true)
    const again = user.post(`/api/deliveries/${id}/redeliver`).then((answer) => answer)
    await waiting(1)
    return [again]
  })
  await Promise.all(asked)
  expect(await listed()).toMatchObject([{ status: 'pending', attempt_count: 0 }])
  await work()
  expect(await attemptsOf(id)).toEqual([1])
})

it('an outcome that meets the enabling of its webhook counts', async () => {
  const again = await triedAgain()
  const recorded = await app.db.transaction(async (tx) => {
    await redelivery.beginAgain(tx, webhook.id, new Date(), 1_000)
    const recorded = app.ctx.deliveries.record(again)
    await waiting(1)
    return [recorded]
  })
  await Promise.all(recorded)
  expect(await listed()).toMatchObject([{ status: 'delivered', attempt_count: 2 }])
})

it.each(['asked for again', 'enabled'])('a failure that meets its delivery being %s is counted before', async (how) => {
  const finished = await triedAgain()
  const { id } = finished.delivery
  const later = new Date(Date.now() + 3_600_000)
  const failed = { ...outcomeOf(finished), status: 'pending' as const, due_at: later, error: 'http_500' }
  const asked = await app.db.transaction(async (tx) => {
    expect(await deliveryOutcomes.settle(tx, await holder(), new Date(), [failed])).toEqual(new Set())
    const again =
      how === 'enabled'
        ? app.ctx.db.transaction((other) => redelivery.beginAgain(other, webhook.id, new Date(Date.now() - 1), 10))
        : app.ctx.db.transaction((other) => redelivery.redeliver(other, id, null))
    await waiting(1)
    return [again]
  })
  await Promise.all(asked)
  const [shown] = await listed()
  expect(shown).toMatchObject({ status: 'pending', attempt_count: 2 })
  expect(Date.parse(shown.next_attempt_at)).toBeLessThan(later.getTime() - 1_800_000)
  await app.db.query('update webhook_queues set due_at = now() where webhook_id = $1', [webhook.id])
  await work()
  expect([await attemptsOf(id), await listed()]).toMatchObject([[1, 2, 3], [{ status: 'delivered', attempt_count: 3 }]])
})

it('a late attempt does not move the moment when it was settled', async () => {
  const late = await tried()
  await app.ctx.deliveries.leave() // its lease is over
  await app.db.query('update webhook_queues set due_at = now() where webhook_id = $1', [webhook.id])
  await app.ctx.deliveries.record(await claimed())
  const before = await listed()
  expect(before).toMatchObject([{ status: 'delivered' }])
  await app.ctx.deliveries.record(late)
  expect(await listed()).toEqual(before)
})

it('is not brought back by a moment that is changed by hand', async () => {
  await happens(app, phone, 'hello')
  await work()
  await happens(app, phone, 'still owed')
  await app.db.query(`update deliveries set due_at = now() where status = 'pending' and webhook_id = $1`, [webhook.id])
  await app.db.query('update webhook_queues set due_at = now() where webhook_id = $1', [webhook.id])
  await work()
  expect(sink.received).toHaveLength(2)
})

it('keeps what its attempt told when that is pruned; a late attempt settles nothing', async () => {
  await happens(app, phone, 'hello')
  await work()
  const settled = await listed()
  const late = await tried()
  await app.ctx.deliveries.leave() // its lease is over
  await app.ctx.deliveries.record(late)
  const before = await listed()
  expect(before).toMatchObject([{ status: 'pending', attempt_count: 0 }, settled[0]])
  await app.crew.pruner.runOnce(new Date(Date.now() + 11 * 86_400_000))
  expect([await attemptsOf(settled[0].id), await attemptsOf(late.delivery.id)]).toEqual([[], []])
  expect(await listed()).toEqual(before)
})
