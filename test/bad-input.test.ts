import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
let before: unknown
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser({ plan_type: 'enterprise' })
  phone = await app.connectedNumber(user)
  before = await everything()
})
afterAll(() => app.stop())

/** What no refused request may add to. */
async function everything() {
  const tables = 'users api_keys phone_numbers webhooks lanes messages media daily_usage message_stats deliveries'
  const counts = tables.split(' ').map((table) => `(select count(*) from ${table}) as ${table}`)
  const { rows } = await app.db.query(`select ${counts.join(', ')}, (select sum(used) from daily_usage) as used`)
  return { ...rows[0], sent: phone.controls.ledger.total, instances: app.sandboxes.map((s) => s.controls.instances()) }
}
afterEach(async () => expect(await everything()).toEqual(before))

const REGISTER = { email: 'new@example.com', password: 'SecurePass123!', plan_type: 'starter' }
const CREATE = { display_name: 'Shop' }
const TEXT = { token: '<token>', number: '628000000003', text: 'Hi' }
const MEDIA = { token: '<token>', number: '628000000003', mediaType: 'document', base64: 'aGVsbG8=' }
const GOOD: Record<string, object> = {
  '/api/auth/register': REGISTER,
  '/api/auth/login': { email: 'new@example.com', password: 'SecurePass123!' },
  '/api/phone-numbers/create': CREATE,
  '/api/messages/send-text': TEXT,
  '/api/messages/send-media': MEDIA,
}
const paths = Object.keys(GOOD)

const post = (path: string) => app.api.post(path).set('x-api-key', user.api_key)
const json = (path: string, text: string) => post(path).set('content-type', 'application/json').send(text)
const withToken = (body: unknown) => JSON.stringify(body).replace('<token>', phone.token)
/** Any token is well written, so that an unknown one is a missing resource; and so is a password. */
const REFUSED = [400, 401, 404, 413]
const isGood = (name: string, value: unknown) =>
  (name === 'plan_type' && value === undefined) || (name === 'base64' && value === 'x'.repeat(70_000))

const deep = (levels: number) => '{"text":'.repeat(levels) + '1' + '}'.repeat(levels)
const NO_OBJECT: [string, string][] = [
  ['malformed JSON', '{"email": '],
  ['JSON with a trailing comma', '{"text":"a",}'],
  ['two documents', '{}{}'],
  ['a list', '[]'],
  ['a list of good bodies', JSON.stringify([REGISTER, CREATE, TEXT])],
  ['null', 'null'],
  ['a number', '7'],
  ['a text', '"hello"'],
  ['true', 'true'],
  ['an empty object', '{}'],
  ['a very deep object', deep(5_000)],
]

describe.each(paths)('%s', (path) => {
  it.each(NO_OBJECT)('refuses %s', async (_what, text) => {
    const answer = await json(path, text)
    expectRefusal(answer, 400, 'invalid_request')
  })

  it('refuses no body, an empty one, and types it does not know', async () => {
    expectRefusal(await post(path), 400, 'invalid_request')
    expectRefusal(await json(path, ''), 400, 'invalid_request')
    for (const type of ['text/plain', 'application/xml', 'application/json; charset=klingon', 'nonsense', 'image/png'])
      expectRefusal(await post(path).set('content-type', type).send(withToken(GOOD[path])), 400, 'invalid_request')
    const gzip = post(path).set({ 'content-type': 'application/json', 'content-encoding': 'zipped' })
    expectRefusal(await gzip.send(withToken(GOOD[path])), 400, 'invalid_request')
  })

  it('refuses a multipart body that is none', async () => {
    const broken = (type: string) => post(path).set('content-type', type).send('--x\r\nnot a part')
    for (const type of ['multipart/form-data', 'multipart/form-data; boundary=x', 'multipart/form-data; boundary=y'])
      expectRefusal(await broken(type), 400, 'invalid_request')
  })

  it('refuses each field where it is of another type, missing, or cannot be stored', async () => {
    const values = [undefined, null, true, [], {}, ['a'], { a: 1 }, '', '   ', 'a\0b', '\ud800', 'x'.repeat(70_000)]
    for (const name of Object.keys(GOOD[path]!))
      for (const value of values) {
        if (isGood(name, value)) continue
        const answer = await json(path, withToken({ ...GOOD[path], [name]: value }))
        if (!REFUSED.includes(answer.status))
          throw new Error(`${name}: ${JSON.stringify(value)?.slice(0, 20)} got ${answer.status}`)
        expectRefusal(answer, answer.status, /^(invalid_request|payload_too_large|not_found|unauthorized)$/)
      }
  })

  it('refuses __proto__ and poisons nothing', async () => {
    const body = withToken(GOOD[path]).replace(
      '{',
      '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},',
    )
    expectRefusal(await json(path, body), 400, 'invalid_request')
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})

it.each([
  ['an unknown plan', '/api/auth/register', { ...REGISTER, plan_type: 'platinum' }],
  ['a short password', '/api/auth/register', { ...REGISTER, password: 'short' }],
  ['no e-mail address', '/api/auth/register', { ...REGISTER, email: 'nobody' }],
  ['two e-mail addresses', '/api/auth/register', { ...REGISTER, email: 'a@example.com, b@example.com' }],
  [
    'an e-mail address with a line break',
    '/api/auth/register',
    { ...REGISTER, email: 'a@example.com\r\nBcc: b@example.com' },
  ],
  ['an over-long name', '/api/auth/register', { ...REGISTER, full_name: 'x'.repeat(201) }],
  ['an over-long display name', '/api/phone-numbers/create', { display_name: 'x'.repeat(101) }],
  ['metadata that is too long', '/api/phone-numbers/create', { ...CREATE, metadata: { a: 'x'.repeat(5_000) } }],
  ['metadata that is a list', '/api/phone-numbers/create', { ...CREATE, metadata: [1] }],
  ['receive_groups that is neither', '/api/phone-numbers/create', { ...CREATE, receive_groups: 'perhaps' }],
  ['a recipient that is no number', '/api/messages/send-text', { ...TEXT, number: 'Ani' }],
  ['a recipient with a fraction', '/api/messages/send-text', { ...TEXT, number: 628.5 }],
  ['a recipient as large as infinity', '/api/messages/send-text', { ...TEXT, number: 1e300 }],
  ['a list of recipients', '/api/messages/send-text', { ...TEXT, number: '628000000003,628000000004' }],
  ['a broadcast', '/api/messages/send-text', { ...TEXT, number: 'status@broadcast' }],
  ['a text that is too long', '/api/messages/send-text', { ...TEXT, text: 'x'.repeat(65_537) }],
  ['from something else', '/api/messages/send-text', { ...TEXT, token: undefined, from: 'manual' }],
  ['a ttl that is too short', '/api/messages/send-text', { ...TEXT, ttl_seconds: 1 }],
  ['a ttl that is no number', '/api/messages/send-text', { ...TEXT, ttl_seconds: 'long' }],
  ['an unknown kind', '/api/messages/send-media', { ...MEDIA, mediaType: 'hologram' }],
  ['a URL that is none', '/api/messages/send-media', { ...MEDIA, base64: undefined, mediaUrl: 'not a url' }],
  [
    'a file of another scheme',
    '/api/messages/send-media',
    { ...MEDIA, base64: undefined, mediaUrl: 'file:///etc/passwd' },
  ],
  ['two files for one', '/api/messages/send-media', { ...MEDIA, mediaUrl: 'http://127.0.0.1/a.pdf' }],
  ['a number and the choice of one', '/api/messages/send-text', { ...TEXT, from: 'auto' }],
  ['an over-long caption', '/api/messages/send-media', { ...MEDIA, caption: 'x'.repeat(5_000) }],
])('refuses %s', async (_what, path, body) => {
  expectRefusal(await json(path, withToken(body)), 400, 'invalid_request')
})

it('refuses a body larger than a call takes', async () => {
  const large = JSON.stringify({ ...CREATE, padding: 'x'.repeat(2 * 1024 * 1024) })
  expectRefusal(await json('/api/phone-numbers/create', large), 413, 'payload_too_large')
})

it.each([
  '/api/phone-numbers/abc/status',
  '/api/phone-numbers/0/qr',
  '/api/phone-numbers/-1/qr',
  '/api/phone-numbers/1.5/status',
  '/api/phone-numbers/99999999999999999999/status',
  '/api/phone-numbers/NaN/status',
  '/api/phone-numbers/%00/status',
  '/api/phone-numbers/%zz/status',
  '/api/phone-numbers/%c0%af/status',
  "/api/phone-numbers/1'or'1'='1/status",
  '/api/phone-numbers?limit=0',
  '/api/phone-numbers?limit=1000000',
  '/api/phone-numbers?limit=ten',
  '/api/phone-numbers?cursor=%00',
  '/api/phone-numbers?cursor=LTE',
  '/api/phone-numbers?limit=1&limit=2',
  '/api/statistics?start_date=%00',
  '/api/statistics?startDate=2026-01-01',
  '/api/phone-numbers?status=asleep',
  '/api/messages?type=image',
  '/api/webhooks?page=2',
  '/api/events?from=2026-01-01',
  '/api/requests?from=2026-01-31T09:00:00',
])('refuses GET %s', async (path) => {
  const answer = await user.get(path)
  expectRefusal(answer, 400, 'invalid_request')
})

it('answers 404 to ids nobody has and to addresses that are none', async () => {
  for (const path of [`/api/phone-numbers/${Number.MAX_SAFE_INTEGER}/status`, '/api/nothing', '/nothing', '/api/%zz/x'])
    expectRefusal(await user.get(path), 404, 'not_found')
})

it.each([
  ['/api/user/profile', 'GET, HEAD, PATCH'],
  ['/api/v1/phone-numbers/abc/status', 'GET, HEAD'],
  ['/api/webhooks/7', 'GET, HEAD, PATCH, DELETE'],
  ['/api/user', 'DELETE'],
  ['/api/api-keys/1', 'PATCH, DELETE'],
])('says that %s takes %s', async (path, allowed) => {
  const refused = await user.post(path)
  expectRefusal(refused, 405, 'method_not_allowed')
  expect(refused.headers.allow).toBe(allowed)
  expect(refused.body.error.message).toContain(allowed)
})

it('tells whoever has no key yet that auth is asked with POST, not that a key is missing', async () => {
  for (const path of ['register', 'login', 'reset-password'])
    expectRefusal(await app.api.get(`/api/auth/${path}`), 405, 'method_not_allowed')
  expectRefusal(await app.api.post('/api/auth/signup'), 401, 'unauthorized')
})

it('says in plain words what is wrong with each field, once for each', async () => {
  const { body } = await json('/api/phone-numbers/create', '{"metadata":[],"receive_groups":"perhaps"}')
  expect(body.error.details).toEqual([
    { path: 'display_name', message: 'is missing' },
    { path: 'metadata', message: 'must be an object' },
    { path: 'receive_groups', message: 'must be true or false' },
  ])
  const nothing = (await user.get('/api/messages?type=image')).body.error.message
  expect(nothing).toMatch(
    /^The request is not valid\. type: is no parameter of this call\. It takes limit, cursor, .*status/,
  )
})

it('takes null for a field that may be left out, and a + in an address that nobody escaped', async () => {
  const path = '/api/messages/send-media'
  const nothing = { ...MEDIA, caption: null, mediaUrl: null, send_at: null, quoted_message_id: null, from: null }
  expectRefusal(await json(path, withToken({ ...nothing, base64: 'not base64!' })), 400, /invalid_request/)
  expect((await json(path, withToken({ ...nothing, base64: '!' }))).body.error.message).toBe(
    'base64 is not valid base64.',
  )
  for (const from of ['2026-01-31T09:00:00+07:00', '2026-01-31T09:00%2B07:00', '2026-01-31T09:00:00Z'])
    expect((await user.get(`/api/requests?from=${from}`)).status).toBe(200)
})

it('lists phone numbers of one status, and no event types as all of them', async () => {
  const ids = async (status: string) => (await user.get(`/api/phone-numbers?status=${status}`)).body.phone_numbers
  expect([(await ids('connected')).length, (await ids('disconnected')).length]).toEqual([1, 0])
  const all = (await user.get('/api/events')).body.events.length as number
  expect(all).toBeGreaterThan(0)
  expect((await user.get('/api/events?types=&event_types=')).body.events).toHaveLength(all)
  const { next_cursor } = (await user.get('/api/events?limit=1')).body
  expect((await user.get(`/api/events?cursor=${next_cursor}`)).body.events).toHaveLength(all - 1)
})

it('JSON that curl sends as a form is told what it lacks', async () => {
  const form = post('/api/messages/send-text').set('content-type', 'application/x-www-form-urlencoded')
  const refused = await form.send(withToken(TEXT))
  expectRefusal(refused, 400, 'invalid_request')
  expect(refused.body.error.message).toContain('content-type: application/json')
})
