import { DeliveryWorker } from '../src/workers/delivery-worker.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, incomingText, seedNumber, stopClock, tell } from './support/webhook-stage.js'

let app: TestApp
let sink: WebhookSink
let worker: DeliveryWorker
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
})
beforeEach(async () => {
  sink = await WebhookSink.start()
  sink.replyAlways('hang')
  // It never looks by itself, so that each further claim is one for which it was woken.
  worker = new DeliveryWorker(app.ctx.deliveries, app.ctx.bus, app.ctx.log, { look_every_ms: 3_600_000 })
})
afterEach(async () => {
  sink.letGo(200)
  await worker.stop()
  await sink.stop()
})
afterAll(() => app.stop())

/** Too few per webhook to be a backlog, which would wake by itself. */
const PER_WEBHOOK = 8

async function owe(users: number, webhooksEach: number): Promise<number> {
  const owners = await Promise.all(Array.from({ length: users }, () => app.createUser()))
  const { rowCount } = await app.db.query(
    `with hooks as (
       insert into webhooks (user_id, url, secret, event_types)
       select user_id, $2, 'whsec_' || encode(sha256('a key'), 'base64'), '{*}'
         from unnest($1::bigint[]) user_id, generate_series(1, $3)
       returning id, user_id),
     queues as (
       insert into webhook_queues (webhook_id, user_id, due_at) select id, user_id, now() from hooks),
     told as (
       insert into events (public_id, user_id, position, type, payload)
       select 'evt_' || gen_random_uuid(), user_id, n, 'message.received', '{}'
         from unnest($1::bigint[]) user_id, generate_series(1, $4) n
       returning id, user_id)
     insert into deliveries (event_id, webhook_id, due_at)
     select t.id, h.id, now() from told t join hooks h on h.user_id = t.user_id`,
    [owners.map(({ id }) => id), sink.url, webhooksEach, PER_WEBHOOK],
  )
  return rowCount!
}

async function allArriveWhen(owed: number, free: () => void): Promise<void> {
  await eventually(() => {
    free()
    expect(sink.received).toHaveLength(owed)
  }, 60_000)
}

it('a user whose share was in hand gets more as soon as some of it is answered', async () => {
  const owed = await owe(1, 50)
  worker.start()
  await allArriveWhen(owed, () => sink.letGo(200))
})

it('when all hands were full, what waited goes as soon as there is room', async () => {
  const owed = await owe(15, 20)
  worker.start()
  await allArriveWhen(owed, () => sink.letGo(200))
})

it('five users whose receivers all hang leave room for the next', async () => {
  worker.start()
  for (let users = 1; users <= 5; users++) {
    await owe(1, 64)
    app.ctx.bus.tell('deliveries.due', {})
    await eventually(() => Promise.resolve(sink.received.length === users * 64))
  }
  await owe(1, 1)
  app.ctx.bus.tell('deliveries.due', {})
  await eventually(() => Promise.resolve(sink.received.length === 5 * 64 + 1))
  await allArriveWhen((5 * 64 + 1) * PER_WEBHOOK, () => sink.letGo(200))
})

it('many webhooks that are owed one delivery each, and some nothing, all get theirs without another look', async () => {
  sink.replyAlways(200)
  await owe(12, 100)
  await app.db.query('delete from deliveries where id not in (select min(id) from deliveries group by webhook_id)')
  const { rowCount: nothing } = await app.db.query(
    `delete from deliveries where webhook_id in (select min(id) from webhooks group by user_id order by 1 desc limit 5)`,
  )
  expect(nothing).toBe(5)
  worker.start()
  await allArriveWhen(12 * 100 - 5, () => {})
})

it('what waits for disabled webhooks, and would fill a claim, keeps nobody else waiting', async () => {
  await owe(64, 1) // 512 deliveries
  await app.db.query(`update webhook_queues set due_at = due_at - interval '1 minute'`)
  await app.db.query('update webhooks set enabled = false')
  const owed = await owe(1, 1)
  worker.start()
  await allArriveWhen(owed, () => sink.letGo(200))
})

it("posts of one user that hang leave another user's way to the same host free", async () => {
  await owe(1, 20)
  worker.start()
  await eventually(() => expect(sink.received).toHaveLength(20))
  await owe(1, 1)
  app.ctx.bus.tell('deliveries.due', {})
  await eventually(() => expect(sink.received).toHaveLength(21))
})

it('what was given back because its webhook was changed is taken again when nothing of it is in hand', async () => {
  const owed = await owe(1, 1)
  worker.start()
  await eventually(() => expect(sink.received).toHaveLength(1))
  const { rows } = await app.db.query<{ id: number }>('select max(id) as id from webhooks')
  app.ctx.bus.tell('webhook.changed', rows[0]!)
  await allArriveWhen(owed, () => sink.letGo(200))
})

it("what the database says is due goes at once, though this server's clock is behind", async () => {
  const clock = stopClock(app)
  clock.to(Date.now() - 30_000)
  const owed = await owe(1, 1)
  worker.start()
  await allArriveWhen(owed, () => sink.letGo(200))
  clock.go()
})

/** Three in hand, of which the first waits for its answer. */
async function fillHand(phone: Seeded): Promise<void> {
  sink.replyAlways(200)
  sink.replyWith('hang')
  for (const text of ['one', 'two', 'three'])
    await tell(app.url, phone.engine_name, incomingText(phone.engine_name, text))
  worker.start()
  await eventually(() => expect(sink.received).toHaveLength(1))
}

it.each([
  ['its user leaves', (user: TestUser) => app.ctx.userDeletion.begin(user.id)],
  ['its number is deleted', (user: TestUser, id: number) => user.delete(`/api/phone-numbers/${id}`)],
  ['its webhook is deleted', (user: TestUser, _: number, webhook: number) => user.delete(`/api/webhooks/${webhook}`)],
])('what is in hand behind a slow answer is posted no more once %s', async (_what, end) => {
  const user = await app.createUser()
  const phone = await seedNumber(app, user)
  const webhook = await createWebhook(user, {
    url: sink.url,
    event_types: ['message.received'],
    phone_number_id: phone.id,
  })
  await fillHand(phone)
  await end(user, phone.id, webhook.id)
  sink.letGo(200)
  await worker.runAll()
  expect(sink.received.length).toBe(1)
})

it('what is in hand behind a slow answer goes to the new address of its webhook', async () => {
  const user = await app.createUser()
  const phone = await seedNumber(app, user)
  const webhook = await createWebhook(user, { url: sink.url, event_types: ['message.received'] })
  await fillHand(phone)
  await user.patch(`/api/webhooks/${webhook.id}`, { url: `${sink.url}/new` })
  sink.letGo(200)
  await worker.runAll()
  await eventually(() => expect(sink.received).toHaveLength(3)) // the worker may have been woken for them before that
  expect(sink.received.map(({ path }) => path)).toEqual(['/hook', '/hook/new', '/hook/new'])
})
