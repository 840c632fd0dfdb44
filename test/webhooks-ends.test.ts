import * as gaps from '../src/db/gaps.js'
import { namesOf } from '../src/services/engine-names.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, incomingText, seedNumber, tell } from './support/webhook-stage.js'

let app: TestApp
let user: TestUser
let phone: Seeded
let sink: WebhookSink
beforeAll(async () => {
  app = await startTestApp({ servers: 1 })
})
beforeEach(async () => {
  user = await app.createUser()
  phone = await seedNumber(app, user)
  sink = await WebhookSink.start()
})
afterEach(() => sink.stop())
afterAll(() => app.stop())

const happen = (text: string) => tell(app.url, phone.engine_name, incomingText(phone.engine_name, text))

it('a message that is told many times at once, in other words each time, is one event', async () => {
  const others = Array.from({ length: 5 }, (_, n) => incomingText(phone.engine_name, `other ${n}`))
  const same = Array.from({ length: 8 }, (_, n) => ({
    ...incomingText(phone.engine_name, 'told often', 'SAME'),
    date_time: `2026-01-01T00:00:0${n}.000Z`,
  }))
  await Promise.all([...others, ...same].map((body) => tell(app.url, phone.engine_name, body)))
  const { events } = (await user.get('/api/events?types=message.received')).body
  expect(events).toHaveLength(6)
  const { rows } = await app.db.query('select messages_received as n from message_stats where phone_number_id = $1', [
    phone.id,
  ])
  expect(rows).toEqual([{ n: 6 }])
})

it('a URL that is set twice at once becomes one webhook', async () => {
  const set = () => user.patch(`/api/phone-numbers/${phone.id}`, { webhook_url: sink.url })
  const answers = await Promise.all([set(), set(), set()])
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
  expect((await user.get(`/api/webhooks?phone_number_id=${phone.id}`)).body.webhooks).toHaveLength(1)
})

describe('a stream ends before the next event', () => {
  async function streamOf(key: string) {
    const answer = await fetch(`${app.url}/api/events/stream`, { headers: { 'x-api-key': key } })
    const stream = { text: '', ended: false }
    void (async () => {
      for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>)
        stream.text += chunk
      stream.ended = true
    })()
    await eventually(() => stream.text.includes('heartbeat'))
    return stream
  }

  it.each<[string, (key: { id: number }) => unknown]>([
    ['its key is revoked', ({ id }) => user.delete(`/api/api-keys/${id}`)],
    ['its key may not read any more', ({ id }) => user.patch(`/api/api-keys/${id}`, { scopes: ['send'] })],
    ['its user is suspended', () => app.ctx.adminUsers.suspend(user.id, { reason: null, unlink: false })],
  ])('when %s, and so does a poll', async (_what, end) => {
    const { id, key } = (await user.post('/api/api-keys', { name: 'reader', scopes: ['read'] })).body.api_key
    const stream = await streamOf(key)
    const poll = app
      .withKey(key)
      .get('/api/events?after=latest&wait=60')
      .then((answer) => answer)
    await eventually(() => app.ctx.feedWatch.size === 2)
    await end({ id })
    await happen('none of your business')
    await eventually(() => stream.ended)
    expect(stream.text).not.toContain('none of your business')
    expect([401, 403]).toContain((await poll).status)
  })
})

it('a webhook that is made while its number goes does not outlive it', async () => {
  const making = () => user.post('/api/webhooks', { url: sink.url, phone_number_id: phone.id })
  for (let round = 0; round < 10; round++) {
    phone = await seedNumber(app, user)
    await Promise.all([making(), making(), user.delete(`/api/phone-numbers/${phone.id}`), making()])
    const living = 'select 1 from webhooks where phone_number_id = $1 and deleted_at is null'
    expect((await app.db.query(living, [phone.id])).rowCount).toBe(0)
  }
})

it('a gap that has grown while it was filled is not fetched before it is over', async () => {
  await app.db.query(
    `insert into gaps (phone_number_id, server_instance, from_at, until_at, due_at)
     values ($1, 'nowhere', now() - interval '15 minutes', now() - interval '1 second', now() + interval '5 minutes')`,
    [phone.id],
  )
  await app.db.query(`update phone_numbers set first_connected_at = now() - interval '1 hour' where id = $1`, [
    phone.id,
  ])
  const look = async () => (await app.db.query<gaps.Gap & { due_at: Date }>('select * from gaps')).rows[0]!
  const filled = await look()
  const names = namesOf(phone.engine_name).map(({ instance }) => instance)
  await gaps.openForInstance(app.db, names, { back_seconds: 900, settle_seconds: 600 })
  await app.db.transaction((tx) => gaps.close(tx, filled))
  expect((await look()).due_at).toEqual((await look()).until_at)
  await gaps.postpone(app.db, filled.id, new Date())
  expect((await look()).due_at).toEqual((await look()).until_at)
})

it('two rotations at once lose no secret: what is posted is signed with all three', async () => {
  const { id } = await createWebhook(user, { url: sink.url })
  let rotations: Promise<number>[] = []
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from webhooks where id = $1 for update', [id])
    rotations = [1, 2].map(() => user.post(`/api/webhooks/${id}/rotate-secret`).then(({ status }) => status))
    await eventually(async () => (await app.lockWaiters()) === 2)
  })
  expect(await Promise.all(rotations)).toEqual([200, 200])
  await user.post(`/api/webhooks/${id}/test`, {})
  expect(String(sink.received[0]!.headers['webhook-signature']).split(' ')).toHaveLength(3)
})
