import { buildApp } from '../src/app.js'
import { type Route, routesOf } from './support/routes.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

type Body = Record<string, unknown>

/** What a route shows to whom. A new route must be entered here, or the first test fails. */
type Entry =
  /** Needs no key. */
  | { open: true }
  /** Speaks of nothing but the caller. */
  | { own: true; body?: Body }
  /** `:id` names a resource of one user. */
  | { id: 'phone_number' | 'message'; body?: Body }
  /** The body names a resource of one user. */
  | { names: (id: { token: string; message: number }) => Body }

const text = { number: '628000000003', text: 'Hi' }
const entry = {
  open: { open: true },
  own: { own: true },
  number: { id: 'phone_number' },
  message: { id: 'message' },
} satisfies Record<string, Entry>
const byToken = (body: Body): Entry => ({ names: ({ token }) => ({ token, ...body }) })

const ENTRIES: Record<string, Entry> = {
  'GET /livez': entry.open,
  'GET /readyz': entry.open,
  'GET /health': entry.open,
  'POST /internal/evolution/:engine_name': entry.open, // has a secret of its own: ingress.test.ts
  'POST /api/auth/register': entry.open,
  'POST /api/auth/login': entry.open,
  'GET /api/user/profile': entry.own,
  'POST /api/user/api-key/rotate': entry.own,
  'POST /api/phone-numbers/create': { own: true, body: { display_name: 'Shop' } },
  'GET /api/phone-numbers': entry.own,
  'GET /api/phone-numbers/:id/qr': entry.number,
  'GET /api/phone-numbers/:id/status': entry.number,
  'DELETE /api/phone-numbers/:id': entry.number,
  'GET /api/phone-numbers/:id/queue': entry.number,
  'DELETE /api/phone-numbers/:id/queue': entry.number,
  'POST /api/phone-numbers/:id/queue/pause': entry.number,
  'POST /api/phone-numbers/:id/queue/resume': entry.number,
  'POST /api/messages/send-text': byToken(text),
  'POST /api/messages/send-media': byToken({ number: text.number, mediaType: 'document', base64: 'aGVsbG8=' }),
  'POST /api/messages/send-sticker': byToken({ number: text.number, base64: 'aGVsbG8=' }),
  'POST /api/messages/send-location': byToken({ number: text.number, name: 'Shop', latitude: -6.2, longitude: 106.8 }),
  'POST /api/messages/send-contact': byToken({
    number: text.number,
    contacts: [{ full_name: 'Ani', phone_number: '628000000001' }],
  }),
  'POST /api/messages/send-poll': byToken({ number: text.number, name: 'Which?', values: ['One', 'Two'] }),
  'POST /api/messages/send-reaction': { names: ({ message }) => ({ message_id: message, reaction: '👍' }) },
  'POST /api/messages/bulk': byToken({ messages: [text] }),
  'GET /api/messages': entry.own,
  'GET /api/messages/:id': entry.message,
  'PATCH /api/messages/:id': { id: 'message', body: { send_at: new Date(Date.now() + 3_600_000).toISOString() } },
  'GET /api/messages/:id/media': entry.message,
  'POST /api/messages/:id/cancel': entry.message,
  'POST /api/messages/:id/retry': entry.message,
  'POST /api/contacts/check': byToken({ numbers: ['628000000001'] }),
  'GET /api/statistics': entry.own,
  'GET /api/dashboard': entry.own,
}

let app: TestApp
let owner: TestUser
let stranger: TestUser
let phone: ConnectedNumber
let message: number
let routes: Route[]
beforeAll(async () => {
  app = await startTestApp()
  routes = routesOf(buildApp(app.ctx))
  owner = await app.createUser()
  stranger = await app.createUser()
  phone = await app.connectedNumber(owner)
  message = (await owner.post('/api/messages/send-text', { token: phone.token, ...text })).body.message.id
})
afterAll(() => app.stop())

const titles = Object.keys(ENTRIES)
const privates = titles.filter((title) => !('open' in ENTRIES[title]!))
const owned = privates.filter((title) => !('own' in ENTRIES[title]!))

const MISSING = 999_999_999
const ids = (exists: boolean) => ({
  phone_number: exists ? phone.id : MISSING,
  message: exists ? message : MISSING,
  token: exists ? phone.token : `wst_${'x'.repeat(32)}`,
})

/** The call of an entry, aimed at what the owner has or at what nobody has. */
function call(title: string, exists: boolean) {
  const it = ENTRIES[title]!
  const [method, pattern] = title.split(' ') as [string, string]
  const target = ids(exists)
  const path = pattern.replace(':id', String('id' in it ? target[it.id] : MISSING))
  const body = 'names' in it ? it.names(target) : 'body' in it ? it.body : undefined
  const request = app.api[method.toLowerCase() as 'get' | 'post' | 'patch' | 'delete'](path)
  return body ? request.send(body) : request
}

it('every route has an entry here, and every entry its route', () => {
  const found = routes.map(({ method, path }) => `${method} ${path}`)
  expect(found.filter((title) => !title.includes('/api/v1')).sort()).toEqual([...titles].sort())
})

describe('without a good key', () => {
  it.each(privates)('%s answers 401', async (title) => {
    const bearer = (token: string) => call(title, true).set('authorization', token)
    for (const refused of [
      await call(title, true),
      await call(title, true).set('x-api-key', `wsk_${'x'.repeat(43)}`),
      await call(title, true).set('x-api-key', phone.token), // a number's token is not a key
      await bearer(`Bearer wsk_${'x'.repeat(43)}`),
      await bearer('Bearer eyJhbGciOiJub25lIn0.e30.'),
      await bearer('Basic YWRtaW46YWRtaW4='),
    ])
      expectRefusal(refused, 401, 'unauthorized')
  })
})

describe('a stranger', () => {
  it.each(owned)('gets the answer of a missing one from %s', async (title) => {
    const foreign = await call(title, true).set('x-api-key', stranger.api_key)
    const missing = await call(title, false).set('x-api-key', stranger.api_key)
    expectRefusal(foreign, 404, 'not_found')
    expectRefusal(missing, 404, 'not_found')
    expect({ ...foreign.body.error, request_id: null }).toEqual({ ...missing.body.error, request_id: null })
  })

  it('has changed nothing by all that', async () => {
    const { body } = await owner.get('/api/phone-numbers')
    expect(body.phone_numbers).toMatchObject([{ id: phone.id, status: 'connected', token: phone.token }])
    expect(phone.controls.ledger.total).toBe(1)
    expect((await app.db.query('select 1 from messages')).rowCount).toBe(1)
    expect((await owner.get('/api/user/profile')).status).toBe(200)
  })
})
