import { setTimeout as pause } from 'node:timers/promises'
import type { RunningServer } from '../src/server.js'
import { zoneAtNoon } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let replica: RunningServer
beforeAll(async () => {
  app = await startTestApp({ env: { DEFAULT_TIME_ZONE: zoneAtNoon() } })
  replica = await app.startReplica()
})
afterAll(() => app.stop())

const times = <T>(n: number, call: (i: number) => PromiseLike<T>) =>
  Promise.all(Array.from({ length: n }, (_, i) => call(i)))
const count = (statuses: number[], status: number) => statuses.filter((one) => one === status).length

it('20 creations at once on two replicas fill the plan to its limit and not beyond', async () => {
  const user = await app.createUser({ plan_type: 'starter' })
  const there = app.as(user, replica)
  const answers = await times(20, (i) =>
    (i % 2 ? user : there).post('/api/phone-numbers/create', { display_name: `Number ${i}` }),
  )
  const statuses = answers.map(({ status }) => status)
  expect([count(statuses, 201), count(statuses, 403)]).toEqual([3, 17])
  const codes = new Set(answers.filter(({ status }) => status === 403).map(({ body }) => body.error.code))
  expect([...codes]).toEqual(['plan_limit_reached'])
  const mine = app.sandboxes
    .flatMap(({ controls }) => controls.instances())
    .filter(({ name }) => name.startsWith(`user_${user.id}_`))
  expect(mine).toHaveLength(3)
})

it('200 sends at once on two replicas spend the day to its limit and not beyond', async () => {
  const user = await app.createUser()
  const there = app.as(user, replica)
  await app.db.query('update users set max_messages_per_day = 60 where id = $1', [user.id])
  const phones = [await app.connectedNumber(user), await app.connectedNumber(user)]
  const answers = await times(200, (i) =>
    (i % 2 ? user : there).post('/api/messages/send-text', {
      token: phones[i % 3 ? 0 : 1]!.token,
      number: '628000000003',
      text: `Race ${i}`,
    }),
  )
  const over = answers.filter(({ status }) => status === 429)
  expect(answers.filter(({ status }) => status === 200 || status === 202)).toHaveLength(60)
  expect(over).toHaveLength(140)
  for (const { body, headers } of over) {
    expect(body.error).toMatchObject({ code: 'quota_exceeded', details: { limit: 60, resets_at: expect.any(String) } })
    const wait = Number(headers['retry-after'])
    expect(wait > 0 && wait <= 86_400).toBe(true)
  }
  const { rows } = await app.db.query('select used from daily_usage where user_id = $1', [user.id])
  expect(rows).toEqual([{ used: 60 }])
  const sent = () => app.sandboxes[0]!.controls.ledger.countsOf().filter(({ text }) => text.startsWith('Race '))
  await eventually(() => Promise.resolve(sent().length === 60))
  expect(sent().every((one) => one.count === 1)).toBe(true)
  expect((await user.get('/api/dashboard')).body.dashboard.usage_today).toMatchObject({ used: 60, remaining: 0 })
})

it('a send that fails gives its place in the day back', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  await app.db.query('update users set max_messages_per_day = 1 where id = $1', [user.id])
  const send = (number: string) => user.post('/api/messages/send-text', { token: phone.token, number, text: 'Hi' })
  const statuses: number[] = []
  for (const number of ['628000000002', '628000000002', '628000000003', '628000000003'])
    statuses.push((await send(number)).status)
  expect(statuses).toEqual([422, 422, 200, 429])
})

it('200 registrations at once all succeed, and other calls go on meanwhile', async () => {
  const user = await app.createUser()
  let running = true
  const registrations = times(200, (i) =>
    app.api.post('/api/auth/register').send({ email: `crowd${i}@example.com`, password: 'SecurePass123!' }),
  ).finally(() => (running = false))
  let others = 0
  while (running) {
    expect((await user.get('/api/user/profile')).status).toBe(200)
    others++
    await pause(20) // a steady caller, not a second crowd
  }
  const answers = await registrations
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(200)
  expect(new Set(answers.map(({ body }) => body.user.api_key)).size).toBe(200)
  expect(others).toBeGreaterThan(50) // frozen behind bcrypt, there would be a handful
}, 120_000)
