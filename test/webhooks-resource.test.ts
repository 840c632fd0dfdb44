import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'
import { EVENT_TYPES } from '../src/services/public-events.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestNumber, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: TestNumber

beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})
beforeEach(() => {
  sink.received.length = 0
  sink.replyAlways(200)
})

const incoming = (text: string, number = phone) =>
  app.sandboxOf(number.engine_name).controls.incoming(number.engine_name, { chat: '628000000009', text })

const create = async (body: object = {}) => {
  const answer = await user.post('/api/webhooks', { url: sink.url, ...body })
  expect(answer.status).toBe(201)
  return answer.body.webhook as { id: number; secret: string; [name: string]: unknown }
}
interface Shown {
  phone_number: object | null
  data: object
}
/** The events as docs/webhooks.md shows them; docs.test.ts holds those against real ones. */
const examples = new Map(
  [...readFileSync('docs/webhooks.md', 'utf8').matchAll(/```json (\S+)\n(.*?)```/gs)].map(([, type, json]) => [
    type,
    JSON.parse(json!) as Shown,
  ]),
)
const remove = (id: number) => user.delete(`/api/webhooks/${id}`)

describe('a webhook', () => {
  it('is created with a secret that is shown once, and gets the events of all numbers', async () => {
    const webhook = await create({ description: 'n8n' })
    expect(webhook).toMatchObject({
      phone_number_id: null,
      url: sink.url,
      description: 'n8n',
      event_types: ['message.received', 'phone_number.connected', 'phone_number.disconnected'],
      enabled: true,
      health: 'healthy',
    })
    expect(webhook.secret).toMatch(/^whsec_/)
    incoming('one')
    await eventually(() => Promise.resolve(sink.ofType('message.received').length === 1))
    const [got] = sink.received
    expect(got!.body).toMatchObject({ version: '1', phone_number: { id: phone.id } })
    expect(() => new Webhook(webhook.secret).verify(got!.text, got!.headers as never)).not.toThrow()

    const show = () => user.get(`/api/webhooks/${webhook.id}`)
    await eventually(async () => {
      expect((await show()).body.webhook).toMatchObject({ id: webhook.id, pending_deliveries: 0 })
    })
    expect(JSON.stringify((await show()).body)).not.toContain(webhook.secret)
    const list = await user.get('/api/webhooks')
    expect(list.body.webhooks.map(({ id }: { id: number }) => id)).toEqual([webhook.id])
    await remove(webhook.id)
    expect((await user.get(`/api/webhooks/${webhook.id}`)).status).toBe(404)
  })

  it('gets the types it asked for and nothing else', async () => {
    const webhook = await create({ event_types: ['message.sent_from_phone'] })
    incoming('not wanted')
    app.sandboxOf(phone.engine_name).controls.typed(phone.engine_name, { chat: '628000000009', text: 'wanted' })
    await eventually(() => Promise.resolve(sink.received.length > 0))
    expect(sink.received.map(({ body }) => body.type)).toEqual(['message.sent_from_phone'])
    await remove(webhook.id)
  })

  it('sends its own headers, whose values are never shown', async () => {
    const webhook = await create({ headers: { Authorization: 'Bearer very-private', 'X-Team': 'sales' } })
    expect(webhook.header_names).toEqual(['Authorization', 'X-Team'])
    expect(JSON.stringify(webhook)).not.toContain('very-private')
    incoming('with headers')
    await eventually(() => Promise.resolve(sink.received.length === 1))
    expect(sink.received[0]!.headers).toMatchObject({ authorization: 'Bearer very-private', 'x-team': 'sales' })

    const changed = await user.patch(`/api/webhooks/${webhook.id}`, { headers: { 'x-team': null, 'X-New': '1' } })
    expect(changed.body.webhook.header_names).toEqual(['Authorization', 'X-New'])
    await remove(webhook.id)
  })

  it('sends its own headers to no other origin, unless they are given again', async () => {
    const webhook = await create({
      phone_number_id: phone.id,
      headers: { Authorization: 'Bearer private', 'X-A': '1' },
    })
    const elsewhere = await WebhookSink.start()
    const change = (body: object) => user.patch(`/api/webhooks/${webhook.id}`, body)
    for (const refused of [
      change({ url: elsewhere.url }),
      change({ url: elsewhere.url, headers: { 'x-a': null } }),
      user.patch(`/api/phone-numbers/${phone.id}`, { webhook_url: elsewhere.url }),
    ]) {
      const { status, body } = await refused
      expect([status, body.error.code, body.error.details[0].path]).toEqual([400, 'invalid_request', 'headers'])
      expect(body.error.message).toContain('give Authorization')
      expect(body.error.message).not.toContain('private')
    }
    expect((await change({ url: `${sink.url}/other` })).body.webhook.header_names).toEqual(['Authorization', 'X-A'])
    const moved = await change({ url: elsewhere.url, headers: { authorization: 'Bearer new', 'x-a': null } })
    expect(moved.body.webhook).toMatchObject({ url: elsewhere.url, header_names: ['authorization'] })
    expect((await change({ url: sink.url, headers: { authorization: null } })).status).toBe(200)
    await elsewhere.stop()
    await remove(webhook.id)
  })

  it('signs with both secrets for 24 hours after a rotation', async () => {
    const webhook = await create()
    const rotated = await user.post(`/api/webhooks/${webhook.id}/rotate-secret`, {})
    const fresh = rotated.body.webhook.secret as string
    expect(fresh).not.toBe(webhook.secret)
    const hours = (Date.parse(rotated.body.webhook.previous_secret_until) - Date.now()) / 3_600_000
    expect(Math.round(hours)).toBe(24)
    incoming('twice signed')
    await eventually(() => Promise.resolve(sink.received.length === 1))
    const { text, headers } = sink.received[0]!
    for (const secret of [webhook.secret, fresh])
      expect(() => new Webhook(secret).verify(text, headers as never)).not.toThrow()

    await app.db.query(`update webhooks set previous_secret_until = now() - interval '1 second' where id = $1`, [
      webhook.id,
    ])
    incoming('signed once')
    await eventually(() => Promise.resolve(sink.received.length === 2))
    const late = sink.received[1]!
    expect(() => new Webhook(fresh).verify(late.text, late.headers as never)).not.toThrow()
    expect(() => new Webhook(webhook.secret).verify(late.text, late.headers as never)).toThrow()
    await remove(webhook.id)
  })

  it('signs with all secrets of the last 24 hours, however often it is rotated, and once for a rotation that is repeated', async () => {
    const webhook = await create()
    const given = `whsec_${Buffer.alloc(24, 9).toString('base64')}`
    const rotate = async (secret?: string) =>
      (await user.post(`/api/webhooks/${webhook.id}/rotate-secret`, { secret })).body.webhook.secret as string
    const secrets = [webhook.secret, await rotate(), await rotate(given)]
    expect(await rotate(given)).toBe(given)
    incoming('rotated twice')
    await eventually(() => Promise.resolve(sink.received.length === 1))
    const { text, headers } = sink.received[0]!
    for (const secret of secrets) expect(() => new Webhook(secret).verify(text, headers as never)).not.toThrow()
    expect(String(headers['webhook-signature']).split(' ')).toHaveLength(3)

    for (let n = 0; n < 4; n++) await rotate()
    incoming('rotated ever more')
    await eventually(() => Promise.resolve(sink.received.length === 2))
    expect(String(sink.received[1]!.headers['webhook-signature']).split(' ')).toHaveLength(6)
    await remove(webhook.id)
  })

  it('may bring its own secret', async () => {
    const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
    const webhook = await create({ secret })
    expect(webhook.secret).toBe(secret)
    await remove(webhook.id)
  })

  it('answers a test with what its receiver said', async () => {
    const webhook = await create({ event_types: ['gap'] })
    sink.replyWith({ status: 418, body: 'I am a teapot' })
    const tested = await user.post(`/api/webhooks/${webhook.id}/test`, { event_type: 'usage.threshold' })
    expect(tested.status).toBe(200)
    expect(tested.body.test).toMatchObject({
      delivered: false,
      status_code: 418,
      response_body: 'I am a teapot',
      error: 'http_418',
      event_type: 'usage.threshold',
    })
    expect(tested.body.test.response_time_ms).toBeGreaterThanOrEqual(0)
    const [got] = sink.received
    expect(got!.body).toMatchObject({ type: 'usage.threshold', test: true, position: 0, phone_number: null })
    expect(got!.body.id).toBe(got!.headers['webhook-id'])
    expect(() => new Webhook(webhook.secret).verify(got!.text, got!.headers as never)).not.toThrow()
    await remove(webhook.id)
  })

  it('answers a test of any event type with the frame and fields of the real one', async () => {
    const webhook = await create()
    for (const event_type of EVENT_TYPES) {
      const { test } = (await user.post(`/api/webhooks/${webhook.id}/test`, { event_type })).body
      expect(test).toMatchObject({ delivered: true, event_type })
      const shown = examples.get(event_type)!
      const { body } = sink.received.at(-1)!
      // Of the caller's own: another's would be somebody else's number.
      const { phone_number, data } = body as unknown as { phone_number: TestNumber | null; data: { message?: object } }
      expect([phone.id, undefined]).toContain(phone_number?.id)
      expect({ phone_number_id: phone.id, ...data.message }).toMatchObject({ phone_number_id: phone.id })
      expect([event_type, body.phone_number === null]).toEqual([event_type, shown.phone_number === null])
      expect(Object.keys(body.data).sort()).toEqual(Object.keys(shown.data).sort())
    }
    await remove(webhook.id)
  })

  it('is held while disabled, and goes on when enabled', async () => {
    const webhook = await create()
    sink.replyAlways(500)
    incoming('held')
    await eventually(() => Promise.resolve(sink.received.length === 1))
    const off = await user.patch(`/api/webhooks/${webhook.id}`, { enabled: false })
    expect(off.body.webhook).toMatchObject({ enabled: false, disabled_reason: 'user', health: 'disabled' })
    const { deliveries } = (await user.get(`/api/webhooks/${webhook.id}/deliveries`)).body
    expect(deliveries).toMatchObject([{ status: 'pending', held: true, next_attempt_at: null, attempt_count: 1 }])
    app.ctx.clock.now = () => new Date(Date.now() + 3_600_000)
    await app.crew.delivery.runAll()
    app.ctx.clock.now = () => new Date()
    expect(sink.received).toHaveLength(1)

    sink.replyAlways(200)
    await user.patch(`/api/webhooks/${webhook.id}`, { enabled: true })
    app.ctx.clock.now = () => new Date(Date.now() + 3_600_000)
    await app.crew.delivery.runAll()
    app.ctx.clock.now = () => new Date()
    await eventually(() => Promise.resolve(sink.received.length === 2))
    expect(sink.received[1]!.headers['webhook-id']).toBe(sink.received[0]!.headers['webhook-id'])
    await remove(webhook.id)
  })

  it('of a number is the URL the number shows, the first that lives', async () => {
    const first = await create({ phone_number_id: phone.id })
    const second = await create({ phone_number_id: phone.id, url: `${sink.url}/2` })
    const urlShown = async () => (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number.webhook_url
    expect(await urlShown()).toBe(sink.url)
    await user.patch(`/api/webhooks/${first.id}`, { url: `${sink.url}/1` })
    expect(await urlShown()).toBe(`${sink.url}/1`)
    await remove(first.id)
    expect(await urlShown()).toBe(`${sink.url}/2`)
    await remove(second.id)
    expect(await urlShown()).toBeNull()
  })
})

describe('repeated with its Idempotency-Key, a create', () => {
  const keyed = (key: string, body: object = {}, caller = user) =>
    caller.post('/api/webhooks', { url: 'https://8.8.8.8/hook', ...body }).set('idempotency-key', key)
  const webhooksOf = async (caller: TestUser) => (await caller.get('/api/webhooks')).body.webhooks as { id: number }[]

  it('makes one webhook, also when all calls come at once, and shows its secret once', async () => {
    const caller = await app.createUser()
    const answers = await Promise.all(Array.from({ length: 10 }, () => keyed('hook-1', {}, caller)))
    answers.push(await keyed('hook-1', {}, caller))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201))
    const told = answers.map(({ body }) => body.webhook)
    expect(new Set(told.map(({ id, created_at }) => `${id} ${created_at}`)).size).toBe(1)
    expect(told.filter(({ secret }) => secret !== undefined)).toHaveLength(1)
    expect(await webhooksOf(caller)).toMatchObject([{ id: told[0].id }])
  })

  it('is refused with another body, and its key for another call; nobody else has it', async () => {
    const [caller, other] = [await app.createUser(), await app.createUser()]
    const number = () =>
      caller.post('/api/phone-numbers/create', { display_name: 'Shop' }).set('idempotency-key', 'hook-2')
    const first = (await keyed('hook-2', {}, caller)).body.webhook
    expectRefusal(await keyed('hook-2', { enabled: false }, caller), 422, 'idempotency_mismatch')
    expectRefusal(await number(), 422, 'idempotency_mismatch')
    const theirs = await keyed('hook-2', {}, other)
    expect(theirs.body.webhook.secret).toMatch(/^whsec_/)
    expect(theirs.body.webhook.id).not.toBe(first.id)
    expect(await webhooksOf(caller)).toHaveLength(1)
  })

  it('makes none in place of a deleted one, until a day has passed; what was refused takes no key', async () => {
    expectRefusal(await keyed('hook-3', { phone_number_id: 9_999_999 }), 404, 'not_found')
    const first = (await keyed('hook-3')).body.webhook
    await remove(first.id)
    expectRefusal(await keyed('hook-3'), 409, 'conflict')
    await app.db.query(`update idempotency_keys set created_at = now() - interval '25 hours' where key = 'hook-3'`)
    const second = (await keyed('hook-3')).body.webhook
    expect(second.secret).toMatch(/^whsec_/)
    expect((await keyed('hook-3')).body.webhook.id).toBe(second.id)
    await remove(second.id)
  })
})

describe('what a webhook cannot be', () => {
  const secret = (bytes: number) => `whsec_${Buffer.alloc(bytes, 1).toString('base64')}`
  const url = 'https://example.com/hook'
  it.each<[string, object]>([
    ['without a URL', {}],
    ['with something that is no URL', { url: 'not a url' }],
    ['inside the network', { url: 'http://169.254.169.254/latest' }],
    ['with credentials in the URL', { url: 'https://me:pw@example.com/' }],
    ['with another scheme', { url: 'ftp://example.com/' }],
    ['for an unknown event type', { url, event_types: ['message.recieved'] }],
    ['for no event type', { url, event_types: [] }],
    ['with a short secret', { url, secret: secret(8) }],
    ['with a secret of another form', { url, secret: 'my-secret' }],
    ['with a header of ours', { url, headers: { 'Webhook-Signature': 'v1,forged' } }],
    ['with a Host header', { url, headers: { host: 'inside' } }],
    ['with a line break in a header', { url, headers: { 'x-a': 'b\r\nx-evil: 1' } }],
    ['with a header name that is none', { url, headers: { 'x a': 'b' } }],
    ['with one header twice', { url, headers: { 'x-a': '1', 'X-A': '2' } }],
  ])('%s', async (_title, body) => {
    const answer = await user.post('/api/webhooks', body)
    expect([answer.status, answer.body.error?.code]).toEqual([400, 'invalid_request'])
  })

  it('on a number of somebody else, or one of more than a hundred', async () => {
    const other = await app.createUser()
    expect((await other.post('/api/webhooks', { url, phone_number_id: phone.id })).status).toBe(404)
    await app.db.query(
      `with w as (insert into webhooks (user_id, url, secret, event_types)
         select $1, 'https://example.com', 'whsec_', '{*}' from generate_series(1, 100) returning id)
       insert into webhook_queues (webhook_id, user_id) select id, $1 from w`,
      [other.id],
    )
    expect((await other.post('/api/webhooks', { url })).status).toBe(409)
    const number = { display_name: 'One more', webhook_url: url }
    expectRefusal(await other.post('/api/phone-numbers/create', number), 409, 'conflict')
    expect((await other.get('/api/phone-numbers')).body.phone_numbers).toEqual([])
  })

  it("touched by a stranger: another user's webhook is not found", async () => {
    const webhook = await create({ phone_number_id: phone.id })
    const stranger = await app.createUser()
    const answers = await Promise.all([
      stranger.get(`/api/webhooks/${webhook.id}`),
      stranger.patch(`/api/webhooks/${webhook.id}`, { enabled: false }),
      stranger.delete(`/api/webhooks/${webhook.id}`),
      stranger.post(`/api/webhooks/${webhook.id}/rotate-secret`, {}),
      stranger.post(`/api/webhooks/${webhook.id}/test`, {}),
      stranger.get(`/api/webhooks/${webhook.id}/deliveries`),
      stranger.post(`/api/webhooks/${webhook.id}/redeliver`, {}),
    ])
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404, 404, 404])
    expect((await user.get(`/api/webhooks/${webhook.id}`)).body.webhook.enabled).toBe(true)
    await remove(webhook.id)
  })
})
