import request from 'supertest'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let now: number
beforeAll(async () => {
  app = await startTestApp({ env: { TRUST_PROXY: '1' } })
  app.ctx.clock.now = () => new Date(now)
})
beforeEach(async () => {
  now = Date.now()
  user = await app.createUser()
})
afterAll(() => app.stop())

const logIn = (email: string, password: string, address = '203.0.113.1', url = app.url) =>
  request(url).post('/api/auth/login').set('x-forwarded-for', address).send({ email, password })
const wrong = (address?: string, url?: string, email = user.email) => logIn(email, 'a wrong guess', address, url)
/** What a wrong password leaves behind, without the work of looking at it. */
const guess = (email: string, address: string) => app.ctx.loginBackoff.begin({ email, address }).catch(() => undefined)
const pass = (seconds: number) => (now += seconds * 1000)
const retryAfter = (answer: request.Response) => Number(answer.headers['retry-after'])

it('slows down after five wrong passwords, ever more, and never beyond a quarter of an hour', async () => {
  for (let n = 0; n < 5; n++) expectRefusal(await wrong(), 401, 'unauthorized')
  const waits: number[] = []
  for (let n = 0; n < 14; n++) {
    const refused = await wrong()
    expectRefusal(refused, 429, 'rate_limited')
    waits.push(retryAfter(refused))
    pass(waits.at(-1)!)
    expectRefusal(await wrong(), 401, 'unauthorized')
  }
  expect(waits.slice(0, 4)).toEqual([1, 2, 4, 8])
  expect(Math.max(...waits)).toBe(900)
})

it('refuses the right password too while it waits, and takes it afterwards', async () => {
  for (let n = 0; n < 5; n++) await wrong()
  expectRefusal(await logIn(user.email, user.password), 429, 'rate_limited')
  for (let n = 0; n < 20; n++) await wrong() // tries during a wait do not make it longer
  pass(1)
  expect((await logIn(user.email, user.password)).status).toBe(200)
  for (let n = 0; n < 5; n++) expectRefusal(await wrong(), 401, 'unauthorized') // and it begins anew
})

it('counts many guesses at once one by one', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => wrong()))
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(5)
})

it('does the same for an e-mail address that nobody has', async () => {
  const told = async (email: string) => {
    const answers = []
    for (let n = 0; n < 7; n++) answers.push(await wrong('203.0.113.2', app.url, email))
    return answers.map(({ status, body, headers }) => [
      status,
      body.error.code,
      body.error.message,
      headers['retry-after'],
    ])
  }
  expect(await told('nobody@example.com')).toEqual(await told(user.email))
})

it('is agreed upon by replicas and outlives a restart', async () => {
  const replica = await app.startReplica()
  replica.context.clock.now = () => new Date(now)
  for (let n = 0; n < 5; n++) await wrong('203.0.113.1', n % 2 ? app.url : replica.url)
  const restarted = await app.startReplica()
  restarted.context.clock.now = () => new Date(now)
  for (const url of [app.url, replica.url, restarted.url])
    expectRefusal(await wrong('203.0.113.1', url), 429, 'rate_limited')
})

describe('while many guess one password from everywhere', () => {
  const attack = async () => {
    for (let n = 0; n < 60; n++) await guess(user.email, `198.51.100.${n}`)
  }

  it('slows down strangers, and lets the owner in from where the owner was before', async () => {
    expect((await logIn(user.email, user.password, '203.0.113.7')).status).toBe(200)
    await attack()
    expectRefusal(await wrong('198.51.100.99'), 429, 'rate_limited')
    expect((await logIn(user.email, user.password, '203.0.113.7')).status).toBe(200)
    expect((await user.get('/api/user/profile')).status).toBe(200)
  })

  it('lets the owner in from anywhere after a minute', async () => {
    await attack()
    expectRefusal(await logIn(user.email, user.password, '203.0.113.8'), 429, 'rate_limited')
    pass(60)
    expect((await logIn(user.email, user.password, '203.0.113.8')).status).toBe(200)
  })
})

it('lets the many people behind one address log in, wrong now and then', async () => {
  for (let n = 0; n < 200; n++) await guess(`subscriber${n}@example.com`, '203.0.113.9')
  expectRefusal(await wrong('203.0.113.9'), 401, 'unauthorized')
  expect((await logIn(user.email, user.password, '203.0.113.9')).status).toBe(200)
})

it('keeps no e-mail address of anybody who tried', async () => {
  await wrong('203.0.113.44', app.url, 'somebody@example.com')
  const { rows } = await app.db.query('select t::text as line from login_tries t')
  expect(rows.length).toBeGreaterThan(0)
  for (const { line } of rows) expect(line).not.toMatch(/somebody|203\.0\.113/)
})

it('forgets old tries', async () => {
  await wrong()
  pass(8 * 86_400)
  await app.ctx.loginBackoff.prune()
  expect((await app.db.query('select 1 from login_tries where trusted_until is null')).rowCount).toBe(0)
})

it('takes as long for an unknown e-mail address as for a wrong password', async () => {
  const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] }
  const measure = async (kind: keyof typeof times, email: string, n: number) => {
    const started = performance.now()
    expectRefusal(await wrong(`192.0.2.${n}`, app.url, email), 401, 'unauthorized')
    times[kind].push(performance.now() - started)
  }
  for (let n = 0; n < 15; n++) {
    await measure('known', user.email, n)
    await measure('unknown', `nobody${n}@example.com`, 100 + n)
  }
  const median = (list: number[]) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)]!
  const ratio = median(times.unknown) / median(times.known)
  expect(ratio).toBeGreaterThan(0.5)
  expect(ratio).toBeLessThan(2)
})

it('slows down who guesses from where the owner was before, as well', async () => {
  const known = '203.0.113.9'
  expect((await logIn(user.email, user.password, known)).status).toBe(200)
  for (let n = 0; n < 5; n++) expectRefusal(await wrong(known), 401, 'unauthorized')
  expectRefusal(await wrong(known), 429, 'rate_limited')
})
