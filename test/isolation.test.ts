import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

/* That each route refuses a stranger's id is in refusals.test.ts; here are the ways around an id. */

let app: TestApp
let ani: TestUser
let budi: TestUser
let anis: ConnectedNumber
let budis: ConnectedNumber
let sink: WebhookSink
const MISSING = 999_999_999
beforeAll(async () => {
  app = await startTestApp()
  ani = await app.createUser()
  budi = await app.createUser()
  sink = await WebhookSink.start()
  await ani.post('/api/webhooks', { url: `${sink.url}/ani`, event_types: ['*'] })
  await budi.post('/api/webhooks', { url: `${sink.url}/budi`, event_types: ['*'] })
  anis = await app.connectedNumber(ani)
  budis = await app.connectedNumber(budi)
  await send(ani, anis, "Ani's words")
  await send(budi, budis, "Budi's words")
  await eventually(async () => (await ani.get('/api/messages')).body.messages.length === 2)
  await eventually(async () => (await budi.get('/api/messages')).body.messages.length === 2)
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

const send = (user: TestUser, { token }: { token: string }, text: string, more: object = {}, key?: string) =>
  user
    .post('/api/messages/send-text', { token, number: '628000000001', text, ...more })
    .set(key ? { 'idempotency-key': key } : {})
const idsOf = (list: { id: number }[]) => list.map(({ id }) => id)

it.each<[string, string]>([
  ['messages', 'phone_number_id'],
  ['webhooks', 'phone_number_id'],
])('a filter of /api/%s by the %s of another finds what one that is missing finds', async (noun, filter) => {
  const by = async (id: number) => {
    const { status, body } = await budi.get(`/api/${noun}?${filter}=${id}`)
    return { status, found: body[noun], code: body.error?.code }
  }
  expect(await by(anis.id)).toEqual(await by(MISSING))
})

it('a cursor of one list opens no other list', async () => {
  for (const path of ['/api/messages', '/api/phone-numbers', '/api/webhooks', '/api/requests']) {
    const cursor = Buffer.from(String(MISSING)).toString('base64url')
    const { text } = await budi.get(`${path}?cursor=${cursor}`)
    expect(text).not.toMatch(/Ani's words|user_1_/)
    for (const secret of [anis.token, anis.instance_name]) expect(text).not.toContain(secret)
  }
  const anisCursor = (await ani.get('/api/events?limit=1')).body.next_cursor as string
  const { status, text } = await budi.get(`/api/events?after=${anisCursor}`)
  expect([200, 400]).toContain(status)
  expect(text).not.toContain("Ani's words")
})

it("another's Idempotency-Key is just a text", async () => {
  const first = await send(ani, anis, 'Once', {}, 'order-1')
  const second = await send(budi, budis, 'Once', {}, 'order-1')
  expect([first.status, second.status]).toEqual([200, 200])
  expect(second.body.message.id).not.toBe(first.body.message.id)
  const many = (user: TestUser, { token }: { token: string }) =>
    user
      .post('/api/messages/bulk', { token, messages: [{ number: '628000000001', text: 'Many' }] })
      .set('idempotency-key', 'orders')
  const [mine, yours] = [await many(ani, anis), await many(budi, budis)]
  expect([mine.status, yours.status]).toEqual([202, 202])
  expect(yours.body.results).toEqual([{ index: 0, message_id: expect.any(Number) }])
  expect(yours.body.results[0].message_id).not.toBe(mine.body.results[0].message_id)
})

it("another's message cannot be answered to", async () => {
  const theirs = (await ani.get('/api/messages')).body.messages[0] as { id: number; whatsapp_id: string }
  for (const reply_to of [theirs.id, theirs.whatsapp_id]) {
    const foreign = await send(budi, budis, 'Quoting you', { reply_to })
    const missing = await send(budi, budis, 'Quoting you', {
      reply_to: typeof reply_to === 'number' ? MISSING : 'NOBODY',
    })
    expect([foreign.status, foreign.body.error?.code]).toEqual([missing.status, missing.body.error?.code])
    expect(JSON.stringify(foreign.body)).not.toContain("Ani's words")
  }
})

it('lists, figures, events, requests and the export hold what is one’s own', async () => {
  await app.ctx.requestLog.flush()
  const paths = [
    'messages',
    'phone-numbers',
    'webhooks',
    'events',
    'requests',
    'api-keys',
    'statistics',
    'dashboard',
    'user/export',
  ]
  for (const path of paths) {
    const { status, text } = await budi.get(`/api/${path}`)
    expect(status).toBe(200)
    for (const foreign of ["Ani's words", ani.email, anis.instance_name, anis.token, `${sink.url}/ani`])
      expect([path, text]).not.toEqual([path, expect.stringContaining(foreign)])
  }
  const mine = idsOf((await ani.get('/api/messages')).body.messages)
  expect(idsOf((await budi.get('/api/messages')).body.messages).filter((id) => mine.includes(id))).toEqual([])
})

it('a webhook for all numbers is told what happens to those of its user', async () => {
  const numbersIn = (path: string) =>
    sink.received.filter((one) => one.path.endsWith(path)).map(({ body }) => (body.phone_number as { id: number }).id)
  for (const path of ['/ani', '/budi']) await eventually(() => Promise.resolve(numbersIn(path).length > 2))
  expect(new Set(numbersIn('/ani'))).toEqual(new Set([anis.id]))
  expect(new Set(numbersIn('/budi'))).toEqual(new Set([budis.id]))
})

it('whoever has nothing yet finds nothing, neither in the dashboard nor in the export', async () => {
  const citra = await app.createUser()
  await app.ctx.requestLog.flush()
  const { body } = await citra.get('/api/dashboard')
  expect(body.dashboard).toMatchObject({ phone_numbers: { total: 0, by_status: {} }, recent_events: [] })
  const { user, exported_at, success, api_keys, ...rest } = JSON.parse((await citra.get('/api/user/export')).text)
  expect([user.id, success, exported_at]).toEqual([citra.id, true, expect.any(String)])
  expect(api_keys).toMatchObject([{ name: 'default', hint: `wsk_…${citra.api_key.slice(-4)}` }])
  expect(rest).toEqual({
    phone_numbers: [],
    webhooks: [],
    usage: [],
    statistics: [],
    messages: [],
    events: [],
    requests: [],
  })
})

it.each([
  ['a query', '?user_id=1&id=1'],
  ['a second id', '?id=1&id=2'],
])('%s beside the path changes nothing about whose it is', async (_what, query) => {
  expectRefusal(await budi.get(`/api/phone-numbers/${anis.id}/status${query}`), 404, 'not_found')
  const own = await budi.get(`/api/phone-numbers/${budis.id}/status${query}`)
  expect(own.body.phone_number.id).toBe(budis.id)
})

it('the token in the body decides alone from which number is sent, and must be one’s own', async () => {
  const outgoing = async () => (await ani.get('/api/messages?direction=outgoing')).body.messages.length as number
  const before = await outgoing()
  expectRefusal(await send(budi, anis, 'In your name'), 404, 'not_found')
  const more = { phone_number_id: anis.id, user_id: ani.id, instance_name: anis.instance_name }
  const { body } = await send(budi, budis, 'From mine', more)
  expect(body.message.phone_number_id).toBe(budis.id)
  const { body: auto } = await budi.post('/api/messages/send-text', {
    from: 'auto',
    number: '628000000001',
    text: 'Any',
  })
  expect(auto.message.phone_number_id).toBe(budis.id)
  expect(await outgoing()).toBe(before)
})
