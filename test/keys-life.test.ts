import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp()
})
beforeEach(async () => {
  user = await app.createUser()
})
afterAll(() => app.stop())

interface Key {
  id: number
  name: string
  key: string
  hint: string
}

const create = async (fields: object = {}) =>
  (await user.post('/api/api-keys', { name: 'n8n', ...fields })).body.api_key as Key
const list = async () => (await user.get('/api/api-keys')).body.api_keys as Record<string, unknown>[]
const statusOf = async (key: string) => (await app.withKey(key).get('/api/user/profile')).status
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString()

it('are made with a name, shown once, and listed without what would let anybody in', async () => {
  const { status, body } = await user.post('/api/api-keys', {
    name: '  Laravel shop ',
    scopes: 'read,send,read',
    expires_at: '2099-01-31T09:00:00+07:00',
    rate_limit_per_minute: 30,
  })
  expect(status).toBe(201)
  const { key, ...shown } = body.api_key
  expect(key).toMatch(/^wsk_[\w-]{43}$/)
  expect(shown).toEqual({
    id: expect.any(Number),
    name: 'Laravel shop',
    hint: `wsk_…${(key as string).slice(-4)}`,
    scopes: ['send', 'read'],
    rate_limit_per_minute: 30,
    expires_at: '2099-01-31T02:00:00.000Z',
    last_used_at: null,
    created_at: expect.any(String),
    current: false,
  })
  const { text } = await user.get('/api/api-keys')
  expect(text).not.toContain((key as string).slice(4, -4))
  expect((await list())[0]).toEqual(shown)
})

it.each<[string, object]>([
  ['no name', { name: ' ' }],
  ['an unknown scope', { name: 'a', scopes: ['send', 'root'] }],
  ['no scope at all', { name: 'a', scopes: [] }],
  ['an expiry in the past', { name: 'a', expires_at: '2020-01-01T00:00:00Z' }],
  ['an expiry that is no time', { name: 'a', expires_at: 'tomorrow' }],
  ['a limit of nothing', { name: 'a', rate_limit_per_minute: 0 }],
])('are not made with %s', async (_what, body) => {
  expectRefusal(await user.post('/api/api-keys', body), 400, 'invalid_request')
  expect(await list()).toHaveLength(1)
})

it('end at once when they are revoked, and say so to whoever still has them', async () => {
  const { id, key } = await create()
  expect(await statusOf(key)).toBe(200) // now it is cached
  expect((await user.delete(`/api/api-keys/${id}`)).body).toEqual({ success: true, message: 'API key revoked' })
  const refused = await app.withKey(key).get('/api/user/profile')
  expectRefusal(refused, 401, 'unauthorized')
  expect(refused.body.error.message).toContain('revoked')
  expectRefusal(await user.delete(`/api/api-keys/${id}`), 404, 'not_found')
  expect(await list()).toHaveLength(1)
})

it('end when their time is over, cached or not', async () => {
  const { id, key } = await create({ expires_at: new Date(Date.now() + 400).toISOString() })
  expect(await statusOf(key)).toBe(200)
  await app.db.query('update api_keys set expires_at = now() where id = $1', [id])
  const refusal = async () => app.withKey(key).get('/api/user/profile')
  for (;;) {
    const answer = await refusal()
    if (answer.status === 200) continue
    expectRefusal(answer, 401, 'unauthorized')
    expect(answer.body.error.message).toContain('expired')
    break
  }
})

it('end at their time also where they were cached and nobody says so', async () => {
  const { key } = await create({ expires_at: inHours(1 / 360) }) // ten seconds: less than a cache believes
  expect(await statusOf(key)).toBe(200)
  const real = Date.now
  Date.now = () => real() + 11_000
  try {
    expect(await statusOf(key)).toBe(401)
  } finally {
    Date.now = real
  }
})

it('are not remembered from an answer of the database that is older than their end', async () => {
  const { id, key } = await create()
  const asked = app.ctx.authenticator.authenticate({ api_key: key })
  app.ctx.bus.tell('auth.changed', { user_id: user.id }) // arrives while that is under way
  await asked
  await app.db.query('update api_keys set revoked_at = now() where id = $1', [id])
  expect(await statusOf(key)).toBe(401)
})

it('are renamed, limited and given other rights, which count at once', async () => {
  const { id, key } = await create()
  expect(await statusOf(key)).toBe(200)
  const { body } = await user.patch(`/api/api-keys/${id}`, { name: 'Sender', scopes: ['send'] })
  expect(body.api_key).toMatchObject({ id, name: 'Sender', scopes: ['send'], expires_at: null })
  expect(await statusOf(key)).toBe(403)
  expect((await user.patch(`/api/api-keys/${id}`, {})).body.api_key).toEqual(body.api_key)
  expectRefusal(await user.patch(`/api/api-keys/${id}`, { expires_at: '2020-01-01T00:00:00Z' }), 400, 'invalid_request')
})

it('are rotated with an overlap in which both work', async () => {
  const old = await create({ scopes: ['read'], rate_limit_per_minute: 500 })
  const { status, body } = await user.post(`/api/api-keys/${old.id}/rotate`, { overlap_hours: 2 })
  expect(status).toBe(201)
  expect(body.api_key).toMatchObject({ name: 'n8n', scopes: ['read'], rate_limit_per_minute: 500, expires_at: null })
  expect([await statusOf(old.key), await statusOf(body.api_key.key)]).toEqual([200, 200])
  const before = (await list()).find(({ id }) => id === old.id)!
  const left = Date.parse(before.expires_at as string) - Date.now()
  expect(left).toBeGreaterThan(1.9 * 3_600_000)
  expect(left).toBeLessThanOrEqual(2 * 3_600_000)
})

it('overlap for a day unless told otherwise, and never longer than they would have lived', async () => {
  const ends = async (id: number) => (await list()).find((key) => key.id === id)?.expires_at as string
  const plain = await create()
  await user.post(`/api/api-keys/${plain.id}/rotate`)
  expect(Math.abs(Date.parse(await ends(plain.id)) - Date.parse(inHours(24)))).toBeLessThan(60_000)
  const short = await create({ expires_at: inHours(1) })
  const { body } = await user.post(`/api/api-keys/${short.id}/rotate`, { expires_at: inHours(48) })
  expect(Math.abs(Date.parse(await ends(short.id)) - Date.parse(inHours(1)))).toBeLessThan(60_000)
  expect(Math.abs(Date.parse(body.api_key.expires_at as string) - Date.parse(inHours(48)))).toBeLessThan(60_000)
})

it('are rotated without an overlap where that is asked for', async () => {
  const { id, key } = await create()
  const { body } = await user.post(`/api/api-keys/${id}/rotate`, { overlap_hours: 0 })
  expect([await statusOf(key), await statusOf(body.api_key.key)]).toEqual([401, 200])
  for (const overlap_hours of [-1, 169, 'long', null, '', true])
    expectRefusal(await user.post(`/api/api-keys/${body.api_key.id}/rotate`, { overlap_hours }), 400, 'invalid_request')
})

it('leave the profile with the hint of one that works', async () => {
  const hint = async () => (await app.withKey(latest).get('/api/user/profile')).body.user.api_key as string
  let latest = user.api_key
  const [first] = await list()
  const { body } = await user.post(`/api/api-keys/${first!.id as number}/rotate`)
  latest = body.api_key.key as string
  expect(await hint()).toBe(`wsk_…${latest.slice(-4)}`)
  await create({ scopes: ['read'] })
  expect(await hint()).toBe(`wsk_…${latest.slice(-4)}`)
})

it('tell when they were used last, without a write per request', async () => {
  const { id, key } = await create()
  for (let n = 0; n < 20; n++) await statusOf(key)
  const used = async () => (await list()).find((one) => one.id === id)!.last_used_at
  expect(await used()).toBeNull()
  await app.ctx.keyUsage.flush()
  expect(Math.abs(Date.parse((await used()) as string) - Date.now())).toBeLessThan(60_000)
})

it('are fifty at most, however many are asked for at once', async () => {
  const answers = await Promise.all(Array.from({ length: 60 }, () => user.post('/api/api-keys', { name: 'many' })))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(49)
  expectRefusal(
    answers.find(({ status }) => status !== 201)!,
    409,
    'conflict',
  )
})

it('are fifty beside those that have expired', async () => {
  await Promise.all(Array.from({ length: 49 }, (_, n) => user.post('/api/api-keys', { name: `old ${n}` })))
  expectRefusal(await user.post('/api/api-keys', { name: 'one more' }), 409, 'conflict')
  await app.db.query(
    `update api_keys set expires_at = now() - interval '1 day' where user_id = $1 and name like 'old %'`,
    [user.id],
  )
  expect((await user.post('/api/api-keys', { name: 'one more' })).status).toBe(201)
})
