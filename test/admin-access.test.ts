import request from 'supertest'
import { buildApp } from '../src/app.js'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { routesOf } from './support/routes.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY } })
  user = await app.createUser()
})
afterAll(() => app.stop())

const routes = () =>
  routesOf(buildApp(app.ctx))
    .filter(({ path }) => path.startsWith('/api/admin/'))
    .map(({ method, path }) => ({ method: method.toLowerCase() as 'get', path: path.replace(/:\w+/, '1') }))

it('is refused on every route without the operator’s key, also to users, and changes nothing', async () => {
  expect(routes().length).toBeGreaterThan(20)
  for (const { method, path } of routes()) {
    const calls = [
      app.api[method](path),
      app.api[method](path).set('x-admin-key', ''),
      app.api[method](path).set('x-admin-key', `${ADMIN_KEY}x`),
      app.api[method](path).set('x-admin-key', user.api_key),
      app.api[method](path).set('x-api-key', user.api_key),
      app.api[method](path).set('x-api-key', ADMIN_KEY),
      app.api[method](path).query({ 'x-admin-key': ADMIN_KEY }),
    ]
    for (const call of calls) expectRefusal(await call, 401, 'unauthorized')
  }
  expectRefusal(await app.api.get('/api/user/profile').set('x-admin-key', ADMIN_KEY), 401, 'unauthorized')
  expect((await app.db.query('select 1 from audit_log')).rowCount).toBe(0)
})

it('does not exist without a key in the settings', async () => {
  const replica = await app.startReplica({ ADMIN_API_KEY: '' })
  for (const { method, path } of routes())
    expectRefusal(await request(replica.url)[method](path).set('x-admin-key', ''), 404, 'not_found')
})

it('says which methods an address takes, to the operator', async () => {
  const refused = await operatorOf(app.url).get('/users/1/suspend')
  expectRefusal(refused, 405, 'method_not_allowed')
  expect(refused.headers.allow).toBe('POST')
})

it('slows down whoever guesses', async () => {
  const replica = await app.startReplica({ RATE_LIMIT_AUTH_PER_MINUTE: '5' })
  const guess = () => operatorOf(replica.url, 'a guess').get('/users')
  for (let n = 0; n < 5; n++) expectRefusal(await guess(), 401, 'unauthorized')
  expectRefusal(await guess(), 429, 'rate_limited')
})

it('notes what was asked for, whatever characters it has', async () => {
  const admin = operatorOf(app.url)
  for (const full_name of ['a\u0000b', '\ud800'])
    expectRefusal(await admin.post('/users', { email: 'not an address', full_name }), 400, 'invalid_request')
  await app.db.query('delete from audit_log')
})

it('notes every action before it runs, with its outcome and without passwords', async () => {
  const admin = operatorOf(app.url)
  const email = 'audited@example.com'
  const created = await admin.post('/users', { email, password: 'A-Secret-Password' })
  const { id } = created.body.user
  await admin.post(`/users/${id}/suspend`, { reason: 'unpaid' }).set('x-admin-actor', 'ani')
  await admin.patch('/servers/nobody', { capacity: 3 })
  await admin.get('/users')
  const log = async () => (await admin.get('/audit-log')).body.audit_log as { status_code: number | null }[]
  // Outcomes are noted once they have been answered.
  await eventually(async () => (await log()).every(({ status_code }) => status_code !== null))
  expect(await log()).toMatchObject([
    { action: 'servers.update', target: { name: 'nobody' }, details: { capacity: 3 }, status_code: 404, actor: 'api' },
    {
      action: 'users.suspend',
      target: { id: String(id) },
      details: { reason: 'unpaid' },
      actor: 'shell:ani',
      status_code: 200,
    },
    {
      action: 'users.create',
      details: { email, password: '[private]' },
      status_code: 201,
      request_id: created.headers['x-request-id'],
    },
  ])
  const { rows } = await app.db.query<{ text: string }>('select audit_log::text as text from audit_log')
  expect(rows.map(({ text }) => text).join()).not.toMatch(/A-Secret-Password|operator-key/)
})
