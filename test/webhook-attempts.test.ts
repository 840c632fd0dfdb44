import { Webhook } from 'standardwebhooks'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
let user: TestUser
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
})
afterAll(() => app.stop())
let phone: ConnectedNumber
beforeEach(async () => {
  sink = await WebhookSink.start()
  phone = await app.connectedNumber(user, { webhook_url: sink.url })
  await eventually(() => Promise.resolve(sink.ofType('phone_number.connected').length === 1))
})
afterEach(async () => {
  await user.delete(`/api/phone-numbers/${phone.id}`)
  await sink.stop()
})

const write = (text: string) => phone.controls.incoming(phone.engine_name, { chat: '628111222333', text })
const received = () => sink.ofType('message.received')
const attempts = async () => {
  const { rows } = await app.db.query(
    `select l.*, d.status, d.due_at from webhook_logs l join delivery_details d on d.id = l.delivery_id
      where l.event_type = 'message.received' and l.phone_number_id = $1 order by l.id`,
    [phone.id],
  )
  return rows
}
const hasAttempts = (count: number) => eventually(async () => (await attempts()).length === count)
/** The pause before the next attempt is over. */
async function timePasses() {
  await app.db.query(`update deliveries set due_at = now() where phone_number_id = $1 and status = 'pending'`, [
    phone.id,
  ])
  await app.db.query('update webhook_queues set due_at = now() where due_at is not null')
  app.ctx.bus.tell('deliveries.due', {})
}

it('tries again after 500, a broken connection and a redirect, each time with the same webhook-id', async () => {
  sink.replyWith(500, 'reset', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 200)
  write('Until it arrives')
  for (let n = 1; n <= 4; n++) {
    await hasAttempts(n)
    if (n < 4) await timePasses()
  }
  const events = received()
  expect(events).toHaveLength(4)
  expect(new Set(events.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  expect(events[0]!.headers['webhook-id']).toBe(events[0]!.body.id)
  expect(new Set(events.map(({ text }) => text)).size).toBe(1)
  const secret = new Webhook(phone.webhook_secret!)
  for (const { text, headers } of events)
    expect(() => secret.verify(text, headers as Record<string, string>)).not.toThrow()
  expect(() => new Webhook(`whsec_${'A'.repeat(32)}`).verify(events[0]!.text, events[0]!.headers as never)).toThrow()

  const rows = await attempts()
  expect(rows.map(({ status_code, attempt, error }) => [attempt, status_code, error])).toEqual([
    [1, 500, 'http_500'],
    [2, null, 'connection_lost'],
    [3, 302, 'http_302'],
    [4, 200, null],
  ])
  for (const row of rows) {
    expect(row).toMatchObject({
      phone_number_id: phone.id,
      event_type: 'message.received',
      payload: { event_id: events[0]!.body.id },
      sent_at: expect.any(Date),
      response_time_ms: expect.any(Number),
      status: 'delivered',
    })
  }
})

it('goes to others meanwhile: a receiver that hangs delays nobody', async () => {
  const other = await WebhookSink.start()
  const neighbour = await app.connectedNumber(user, { webhook_url: other.url })
  sink.replyAlways('hang')
  for (let n = 0; n < 20; n++) write(`Stuck ${n}`)
  await eventually(() => Promise.resolve(received().length > 0))
  for (let n = 0; n < 20; n++)
    neighbour.controls.incoming(neighbour.engine_name, { chat: '628111222333', text: `Free ${n}` })
  await eventually(() => Promise.resolve(other.ofType('message.received').length === 20))
  expect(await attempts()).toEqual([]) // not one of the others has ended yet
  await user.delete(`/api/phone-numbers/${neighbour.id}`)
  await other.stop()
})

it('goes to nobody once the number is deleted', async () => {
  sink.replyAlways(500)
  write('Before the end')
  await hasAttempts(1)
  await user.delete(`/api/phone-numbers/${phone.id}`)
  const count = received().length
  await timePasses()
  await app.crew.delivery.runAll()
  expect(received()).toHaveLength(count)
})

it('survives the process: what was committed before a stop is delivered by the next one', async () => {
  const next = await app.startReplica({ ROLE: 'worker' })
  await app.crew.delivery.stop()
  write('Still owed')
  await eventually(() => Promise.resolve(received().length === 1))
  await hasAttempts(1)
  await next.close()
})
