import request from 'supertest'
import type { RunningServer } from '../src/server.js'
import { type TestRedis, hasRedis, startRedis } from './support/redis.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

const LIMIT = 40
const AUTH = 5

let app: TestApp
let user: TestUser
afterEach(() => app.stop())

const profile = (key: string, url = app.url) => request(url).get('/api/user/profile').set('x-api-key', key)
const allowed = (answers: request.Response[], status = 200) =>
  answers.filter((answer) => answer.status === status).length

async function start(env: Record<string, string> = {}) {
  app = await startTestApp({ env: { RATE_LIMIT_PER_MINUTE: String(LIMIT), ...env } })
  user = await app.createUser()
}

it('a user has so many requests a minute, told in the standard headers, and then waits', async () => {
  await start()
  const first = await profile(user.api_key)
  expect(first.headers['ratelimit-policy']).toContain(`q=${LIMIT}`)
  expect(first.headers['ratelimit']).toContain(`r=${LIMIT - 1}`)
  const answers = await Promise.all(Array.from({ length: LIMIT + 10 }, () => profile(user.api_key)))
  expect(allowed(answers)).toBe(LIMIT - 1)
  const refused = answers.find(({ status }) => status === 429)!
  expectRefusal(refused, 429, 'rate_limited')
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60)
  const other = await app.createUser()
  expect((await profile(other.api_key)).status).toBe(200)
})

it('more keys are not more requests, and a key may have a share of its own', async () => {
  await start()
  const make = async (fields: object) =>
    (await user.post('/api/api-keys', { name: 'n8n', ...fields })).body.api_key.key as string
  const small = await make({ rate_limit_per_minute: 5 })
  const plain = await make({})
  const answers = await Promise.all(Array.from({ length: 12 }, () => profile(small)))
  expect(allowed(answers)).toBe(5)
  expect(answers.find(({ status }) => status === 200)!.headers['ratelimit-policy']).toContain('"key"; q=5')
  const rest = await Promise.all(Array.from({ length: LIMIT }, (_, n) => profile(n % 2 ? plain : user.api_key)))
  expect(allowed(rest)).toBe(LIMIT - 2 - 12)
})

it('an address has so many wrong keys, while good keys behind it go on', async () => {
  await start({ RATE_LIMIT_AUTH_PER_MINUTE: String(AUTH) })
  const wrong = () => profile(`wsk_${'x'.repeat(43)}`)
  const answers = await Promise.all(Array.from({ length: AUTH * 10 + 20 }, wrong))
  expect(allowed(answers, 401)).toBe(AUTH * 10)
  expectRefusal(await wrong(), 429, 'rate_limited')
  expect((await profile(user.api_key)).status).toBe(200)
})

it.each(['register', 'login', 'reset-password'])('an address has so many calls of %s a minute', async (call) => {
  await start({ RATE_LIMIT_AUTH_PER_MINUTE: String(AUTH) })
  const answers = await Promise.all(Array.from({ length: AUTH + 3 }, () => app.api.post(`/api/auth/${call}`).send({})))
  expect(allowed(answers, 400)).toBe(AUTH - 1) // the registration of the user was one
  expectRefusal(await app.api.post(`/api/auth/${call}`).send({}), 429, 'rate_limited')
})

it('without TRUST_PROXY an address written by the caller counts for nothing', async () => {
  await start({ RATE_LIMIT_AUTH_PER_MINUTE: String(AUTH) })
  const forged = (n: number) =>
    app.api
      .post('/api/auth/login')
      .set({ 'x-forwarded-for': `203.0.113.${n}`, 'x-real-ip': `203.0.113.${n}`, forwarded: `for=203.0.113.${n}` })
      .set({ 'cf-connecting-ip': `203.0.113.${n}`, 'x-client-ip': `203.0.113.${n}` })
      .send({ email: `nobody${n}@example.com`, password: 'a wrong guess' })
  const answers = await Promise.all(Array.from({ length: AUTH + 8 }, (_, n) => forged(n)))
  expect(allowed(answers, 401)).toBe(AUTH - 1) // the registration was one
  await app.ctx.requestLog.flush()
  const { rows } = await app.db.query('select distinct ip_address from api_requests')
  expect(rows).toEqual([{ ip_address: '127.0.0.1' }])
})

it('with TRUST_PROXY=1 the last address counts, which nginx wrote, and not what stands before it', async () => {
  await start({ RATE_LIMIT_AUTH_PER_MINUTE: String(AUTH), TRUST_PROXY: '1' })
  const through = (n: number, address: string) =>
    app.api
      .post('/api/auth/login')
      .set('x-forwarded-for', `198.51.100.${n}, ${address}`)
      .send({ email: `nobody${n}@example.com`, password: 'a wrong guess' })
  const answers = await Promise.all(Array.from({ length: AUTH + 8 }, (_, n) => through(n, '203.0.113.1')))
  expect(allowed(answers, 401)).toBe(AUTH)
  expect((await through(1, '203.0.113.2')).status).toBe(401)
  const v6 = await Promise.all(Array.from({ length: AUTH + 8 }, (_, n) => through(n, `2001:db8:0:1::${n}`)))
  expect(allowed(v6, 401)).toBe(AUTH) // one network of one customer
})

const withRedis = hasRedis ? describe : describe.skip

withRedis('with Redis, over two replicas', () => {
  let redis: TestRedis
  let replica: RunningServer
  beforeEach(async () => {
    redis = await startRedis()
    await start({ REDIS_URL: redis.url })
    replica = await app.startReplica()
    await ready(app.server)
    await ready(replica)
  })
  afterEach(() => redis.stop())

  const ready = (server: RunningServer) => eventually(() => Promise.resolve(server.context.redis!.ready))
  const spread = (n: number) => profile(user.api_key, n % 2 ? app.url : replica.url)
  const spend = async () => allowed(await Promise.all(Array.from({ length: 3 * LIMIT }, (_, n) => spread(n))))

  it('the limit is exact', async () => {
    expect(Math.abs((await spend()) - LIMIT)).toBeLessThanOrEqual(1)
  })

  it('a flushed Redis restarts the window, and a dead one leaves each replica counting for itself', async () => {
    await spend()
    await redis.flush()
    expect(Math.abs((await spend()) - LIMIT)).toBeLessThanOrEqual(1)
    await redis.stop()
    expect(await spend()).toBeGreaterThanOrEqual(LIMIT)
    expect((await spread(0)).status).toBe(429)
  })

  it('a revoked key ends at once everywhere', async () => {
    const { body } = await user.post('/api/api-keys', { name: 'n8n' })
    const { key, id } = body.api_key as { key: string; id: number }
    for (const url of [app.url, replica.url]) expect((await profile(key, url)).status).toBe(200)
    await user.delete(`/api/api-keys/${id}`)
    await eventually(async () => (await profile(key, replica.url)).status === 401, 2_000)
    expect((await profile(key)).status).toBe(401)
  })
})

it('a replica without Redis believes in a revoked key for half a minute at most', async () => {
  await start({ RATE_LIMIT_PER_MINUTE: '1000000' })
  const replica = await app.startReplica()
  const { body } = await user.post('/api/api-keys', { name: 'n8n' })
  const { key, id } = body.api_key as { key: string; id: number }
  expect((await profile(key, replica.url)).status).toBe(200)
  await user.delete(`/api/api-keys/${id}`)
  const real = Date.now
  Date.now = () => real() + 30_001
  try {
    expectRefusal(await profile(key, replica.url), 401, 'unauthorized')
  } finally {
    Date.now = real
  }
})
