import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
  await user.get('/api/user/profile')
  await user.get('/api/user/profile')
  await user.get('/api/phone-numbers/999999999/status?secret=in-the-query')
  await user.post('/api/phone-numbers/create', {})
  await (await app.createUser()).get('/api/dashboard')
  await app.ctx.requestLog.flush()
})
afterAll(() => app.stop())

interface Logged {
  endpoint: string
  method: string
  status_code: number
}

const list = async (query = '') => {
  const { body } = await user.get(`/api/requests${query}`)
  return (body.requests as Logged[]).filter(({ endpoint }) => endpoint !== '/api/requests')
}
const endpoints = async (query: string) => (await list(query)).map(({ method, endpoint }) => `${method} ${endpoint}`)

it('are named by their route, also those of nobody who is known', async () => {
  await app.api.post('/api/auth/login').send({ email: user.email, password: 'wrong' })
  await app.api.get('/api/auth/login')
  await app.ctx.requestLog.flush()
  const { rows } = await app.db.query<{ named: string }>(
    `select distinct method || ' ' || endpoint || ' ' || status_code as named from api_requests
      where user_id is null order by 1`,
  )
  expect(rows.map(({ named }) => named)).toEqual([
    'GET /api/auth/* 405',
    'POST /api/auth/login 401',
    'POST /api/auth/register 201',
  ])
})

it('are listed newest first, with what happened and by which key, and with no value of a path', async () => {
  const found = await list()
  expect(found.map(({ endpoint, status_code }) => `${endpoint} ${status_code}`)).toEqual([
    '/api/phone-numbers/create 400',
    '/api/phone-numbers/:id/status 404',
    '/api/user/profile 200',
    '/api/user/profile 200',
  ])
  const [{ id }] = (await user.get('/api/api-keys')).body.api_keys
  expect(found[0]).toEqual({
    request_id: expect.stringMatching(/^[\w-]{36}$/),
    method: 'POST',
    endpoint: '/api/phone-numbers/create',
    status_code: 400,
    duration_ms: expect.any(Number),
    ip_address: '127.0.0.1',
    api_key_id: id,
    created_at: expect.any(String),
  })
})

it.each([
  ['?endpoint=/api/user/profile', ['GET /api/user/profile', 'GET /api/user/profile']],
  ['?method=post', ['POST /api/phone-numbers/create']],
  ['?status=404', ['GET /api/phone-numbers/:id/status']],
  ['?status=4xx', ['POST /api/phone-numbers/create', 'GET /api/phone-numbers/:id/status']],
  ['?status=5xx', []],
  ['?to=2020-01-01T00:00:00Z', []],
  ['?from=2099-01-01T00:00:00Z', []],
])('are filtered by %s', async (query, expected) => {
  expect(await endpoints(query)).toEqual(expected)
})

it('come page by page', async () => {
  const first = (await user.get('/api/requests?endpoint=/api/user/profile&limit=1')).body
  expect(first.requests).toHaveLength(1)
  const second = (await user.get(`/api/requests?endpoint=/api/user/profile&limit=1&cursor=${first.next_cursor}`)).body
  expect(second.requests).toHaveLength(1)
  expect(second.requests[0].request_id).not.toBe(first.requests[0].request_id)
})

it.each(['?status=600', '?status=ok', '?method=BREW', '?from=yesterday', '?limit=0', '?cursor=x'])(
  'refuse %s',
  async (query) => {
    expectRefusal(await user.get(`/api/requests${query}`), 400, 'invalid_request')
  },
)

it('refuse a range that is upside down', async () => {
  const query = '?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z'
  expectRefusal(await user.get(`/api/requests${query}`), 400, 'invalid_request')
})
