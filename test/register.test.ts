import request from 'supertest'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

const register = (body: object, url = app.url) => request(url).post('/api/auth/register').send(body)
const ANI = { email: 'ani@example.com', password: 'SecurePass123!', full_name: 'Ani', company_name: 'Toko Ani' }

it('answers a new user with the limits of its plan and its key, which is shown this once', async () => {
  const { status, body } = await register({ ...ANI, plan_type: 'business' })
  expect(status).toBe(201)
  expect(body).toEqual({
    success: true,
    message: 'User created successfully',
    user: {
      id: expect.any(Number),
      email: 'ani@example.com',
      api_key: expect.stringMatching(/^wsk_[\w-]{43}$/),
      full_name: 'Ani',
      company_name: 'Toko Ani',
      plan_type: 'business',
      max_phone_numbers: 10,
      max_messages_per_day: 5000,
      status: 'active',
      active_until: null,
      time_zone: 'Asia/Jakarta',
      created_at: expect.any(String),
    },
  })

  const key = body.user.api_key as string
  const profile = await app.api.get('/api/user/profile').set('x-api-key', key)
  expect(profile.body.user).toEqual({ ...body.user, api_key: `wsk_…${key.slice(-4)}` })
  const { rows } = await app.db.query('select u::text || k::text as stored from users u, api_keys k')
  expect(rows).toHaveLength(1)
  expect(rows[0]!.stored).not.toContain(key.slice(4, -4))
  expect(rows[0]!.stored).not.toContain(ANI.password)
})

it.each([
  ['starter', 3, 1_000],
  ['business', 10, 5_000],
  ['enterprise', 50, 50_000],
])('gives %s %d numbers and %d messages a day', async (plan_type, max_phone_numbers, max_messages_per_day) => {
  const { body } = await register({ ...ANI, email: `${plan_type}@example.com`, plan_type })
  expect(body.user).toMatchObject({ plan_type, max_phone_numbers, max_messages_per_day })
})

it('takes starter where no plan is asked for, and no name', async () => {
  const { status, body } = await register({ email: 'plain@example.com', password: 'SecurePass123!' })
  expect(status).toBe(201)
  expect(body.user).toMatchObject({ plan_type: 'starter', full_name: null, company_name: null })
})

it('knows an e-mail address again in other letters', async () => {
  const first = await register({ ...ANI, email: '  Budi@Example.COM ' })
  expect(first.body.user.email).toBe('budi@example.com')
  expectRefusal(await register({ ...ANI, email: 'BUDI@example.com' }), 409, 'email_taken')
})

it('registers an address once, however many ask at the same time', async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => register({ ...ANI, email: 'race@example.com' })))
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409])
})

it('closes with REGISTRATION=closed, while those who are in can log in', async () => {
  const replica = await app.startReplica({ REGISTRATION: 'closed' })
  const { email, password } = await app.createUser()
  expectRefusal(await register({ ...ANI, email: 'late@example.com' }, replica.url), 403, 'forbidden')
  const login = await request(replica.url).post('/api/auth/login').send({ email, password })
  expect(login.status).toBe(200)
})

it('offers only the plans of SELF_SERVICE_PLANS and names them', async () => {
  const replica = await app.startReplica({ SELF_SERVICE_PLANS: 'starter,business' })
  const refused = await register({ ...ANI, email: 'big@example.com', plan_type: 'enterprise' }, replica.url)
  expectRefusal(refused, 400, 'invalid_request')
  expect(refused.body.error.message).toContain('starter, business')
  const taken = await register({ ...ANI, email: 'big@example.com', plan_type: 'business' }, replica.url)
  expect(taken.status).toBe(201)
})

it('limits registrations and log-ins per address, together and separately from calls with a key', async () => {
  const replica = await app.startReplica({ RATE_LIMIT_AUTH_PER_MINUTE: '3' })
  const user = await app.createUser()
  const login = () => request(replica.url).post('/api/auth/login').send({ email: user.email, password: 'wrong' })
  const answers = [await login(), await login(), await login(), await login()]
  expect(answers.slice(0, 3).map(({ status }) => status)).toEqual([401, 401, 401])
  expectRefusal(answers[3]!, 429, 'rate_limited')
  expect(Number(answers[3]!.headers['retry-after'])).toBeGreaterThan(0)
  // X-Forwarded-For of a stranger counts for nothing without TRUST_PROXY.
  expect((await login().set('x-forwarded-for', '203.0.113.9')).status).toBe(429)
  expect((await app.as(user, replica).get('/api/user/profile')).status).toBe(200)
})
