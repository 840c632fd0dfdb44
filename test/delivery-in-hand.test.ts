import { DeliveryWorker } from '../src/workers/delivery-worker.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { createWebhook, incomingText, seedNumber, tell } from './support/webhook-stage.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
})
afterAll(() => app.stop())

let sink: WebhookSink
let worker: DeliveryWorker
beforeEach(async () => {
  sink = await WebhookSink.start()
  worker = new DeliveryWorker(app.ctx.deliveries, app.ctx.bus, app.ctx.log, { look_every_ms: 3_600_000 })
})
afterEach(async () => {
  sink.letGo(200)
  await worker.stop()
  await sink.stop()
})

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
  sink.replyWith('hang')
  for (const text of ['one', 'two', 'three'])
    await tell(app.url, phone.engine_name, incomingText(phone.engine_name, text))
  worker.start()
  await eventually(() => expect(sink.received).toHaveLength(1))
  await end(user, phone.id, webhook.id)
  sink.letGo(200)
  await worker.runAll()
  expect(sink.received.length).toBe(1)
})

it('what is in hand behind a slow answer goes to the new address of its webhook', async () => {
  const user = await app.createUser()
  const phone = await seedNumber(app, user)
  const webhook = await createWebhook(user, { url: sink.url, event_types: ['message.received'] })
  sink.replyWith('hang')
  for (const text of ['one', 'two', 'three'])
    await tell(app.url, phone.engine_name, incomingText(phone.engine_name, text))
  worker.start()
  await eventually(() => expect(sink.received).toHaveLength(1))
  await user.patch(`/api/webhooks/${webhook.id}`, { url: `${sink.url}/new` })
  sink.letGo(200)
  await worker.runAll()
  expect(sink.received.map(({ path }) => path)).toEqual(['/hook', '/hook/new', '/hook/new'])
})
