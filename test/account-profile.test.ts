import { createHash, randomBytes } from 'node:crypto'
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
afterEach(() => (app.ctx.clock.now = () => new Date()))
afterAll(() => app.stop())

const logIn = (password: string) => app.api.post('/api/auth/login').send({ email: user.email, password })
const profileBy = (token: string) => app.api.get('/api/user/profile').set('authorization', `Bearer ${token}`)

describe('a profile', () => {
  it('takes other names at once, and none', async () => {
    const { body } = await user.patch('/api/user/profile', { full_name: ' Ani ', company_name: null })
    expect(body.user).toMatchObject({ id: user.id, full_name: 'Ani', company_name: null, time_zone: 'Asia/Jakarta' })
    expect((await user.get('/api/user/profile')).body.user).toEqual(body.user)
  })

  it('takes nothing else: no plan, limit, status or e-mail address', async () => {
    const before = (await user.get('/api/user/profile')).body.user
    const more = {
      plan_type: 'enterprise',
      max_phone_numbers: 99,
      status: 'x',
      email: 'a@b.example',
      id: 1,
      full_name: 'New',
    }
    const { body } = await user.patch('/api/user/profile', more)
    expect(body.user).toEqual({ ...before, full_name: 'New' })
  })

  it.each(['Asia/Atlantis', '+07:00', '../../etc', 'x'.repeat(90)])('refuses the time zone %s', async (time_zone) => {
    expectRefusal(await user.patch('/api/user/profile', { time_zone }), 400, 'invalid_request')
  })
})

describe('another time zone', () => {
  /** Noon of the seventeenth in Jakarta; its midnight is 17:00 UTC. */
  const NOON = '2026-03-17T05:00:00Z'
  const MIDNIGHT = '2026-03-17T17:00:00.000Z'
  const at = (time: string) => (app.ctx.clock.now = () => new Date(time))

  it('waits for the next midnight of the present one', async () => {
    at(NOON)
    const { body } = await user.patch('/api/user/profile', { time_zone: 'America/New_York' })
    expect(body.user).toMatchObject({
      time_zone: 'Asia/Jakarta',
      next_time_zone: 'America/New_York',
      next_time_zone_at: MIDNIGHT,
    })
    at('2026-03-17T16:59:59Z')
    await app.ctx.profiles.switchTimeZones()
    expect((await user.get('/api/user/profile')).body.user.time_zone).toBe('Asia/Jakarta')
    at(MIDNIGHT)
    await app.ctx.profiles.switchTimeZones()
    const { body: after } = await user.get('/api/user/profile')
    expect(after.user.time_zone).toBe('America/New_York')
    expect(after.user).not.toHaveProperty('next_time_zone')
    expect((await user.get('/api/statistics')).body.statistics.time_zone).toBe('America/New_York')
  })

  it('can be taken back before it begins', async () => {
    at(NOON)
    await user.patch('/api/user/profile', { time_zone: 'America/New_York' })
    const { body } = await user.patch('/api/user/profile', { time_zone: 'Asia/Jakarta' })
    expect(body.user).not.toHaveProperty('next_time_zone')
  })

  it('gives no quota twice, wherever and however often one moves', async () => {
    // What is spent on a day is kept under its date: to have it twice, a date would have to come back unspent.
    const zones = ['Pacific/Kiritimati', 'Etc/GMT+12', 'Asia/Jakarta', 'America/New_York']
    const { dayIn } = await import('../src/services/days.js')
    const spent = new Set<string>()
    const start = Date.parse(NOON)
    for (let hour = 0; hour < 24 * 20; hour += 2) {
      const moment = new Date(start + hour * 3_600_000)
      at(moment.toISOString())
      await user.patch('/api/user/profile', { time_zone: zones[hour % zones.length] })
      await app.ctx.profiles.switchTimeZones()
      const zone = (await app.db.query('select time_zone from users where id = $1', [user.id])).rows[0]!
        .time_zone as string
      spent.add(dayIn(zone, moment))
    }
    expect(spent.size).toBeLessThanOrEqual(22) // twenty days, and a part of one at either end
  })
})

describe('a password', () => {
  const change = (old_password: string, new_password: string) =>
    user.post('/api/user/password', { old_password, new_password })

  it('is changed by whoever knows the old one, and ends every access token but the new one', async () => {
    const before = (await logIn(user.password)).body.access_token as string
    const { status, body } = await change(user.password, 'another password')
    expect(status).toBe(200)
    expectRefusal(await profileBy(before), 401, 'unauthorized')
    expect((await profileBy(body.access_token as string)).status).toBe(200)
    expect((await logIn('another password')).status).toBe(200)
    expectRefusal(await logIn(user.password), 401, 'unauthorized')
    expect((await user.get('/api/user/profile')).status).toBe(200) // keys are something else
  })

  it('is not changed with a wrong old one, and guessing is slowed down as at the log-in', async () => {
    const now = new Date()
    app.ctx.clock.now = () => now
    for (let n = 0; n < 5; n++) expectRefusal(await change('a guess', 'another password'), 401, 'unauthorized')
    expectRefusal(await change('a guess', 'another password'), 429, 'rate_limited')
    expectRefusal(await logIn(user.password), 429, 'rate_limited')
  })

  it.each([['short'], ['']])('is not changed to "%s"', async (fresh) => {
    expectRefusal(await change(user.password, fresh), 400, 'invalid_request')
    expect((await logIn(user.password)).status).toBe(200)
  })
})

describe("the operator's one-time link", () => {
  const link = async (expires: string) => {
    const token = randomBytes(32).toString('base64url')
    const hash = createHash('sha256').update(token).digest()
    await app.db.query(
      `insert into password_resets (token_hash, user_id, expires_at) values ($1, $2, now() + $3::interval)`,
      [hash, user.id, expires],
    )
    return token
  }
  const reset = (token: string, password = 'another password') =>
    app.api.post('/api/auth/reset-password').send({ token, password })

  it('sets a new password once, ends access tokens, and lets its user in through the back-off', async () => {
    const before = (await logIn(user.password)).body.access_token as string
    for (let n = 0; n < 8; n++) await logIn('a guess')
    const token = await link('1 hour')
    expect((await reset(token)).status).toBe(200)
    expect((await logIn('another password')).status).toBe(200)
    expectRefusal(await profileBy(before), 401, 'unauthorized')
    expectRefusal(await reset(token, 'a third password'), 401, 'unauthorized')
    expect((await logIn('another password')).status).toBe(200)
  })

  it('is used once by many at the same time', async () => {
    const token = await link('1 hour')
    const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => reset(token, `password number ${n}`)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  it('is no good when it is too old, unknown or for a bad password', async () => {
    expectRefusal(await reset(await link('-1 second')), 401, 'unauthorized')
    expectRefusal(await reset('x'.repeat(43)), 401, 'unauthorized')
    const token = await link('1 hour')
    expectRefusal(await reset(token, 'short'), 400, 'invalid_request')
    expect((await reset(token)).status).toBe(200)
  })
})
