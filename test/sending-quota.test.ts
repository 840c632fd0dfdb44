import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { QUIET, eventsOf, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY } })
})
afterAll(() => app.stop())

const limitTo = (userId: number, limit: number) =>
  app.db.query('update users set max_messages_per_day = $2 where id = $1', [userId, limit])

it('a race on two replicas accepts exactly what the day has left', async () => {
  const { user, phone, used, sentTexts } = await newSender(app)
  await limitTo(user.id, 25)
  const replica = await app.startReplica()
  const calls = [user, app.as(user, replica)]
  const answers = await Promise.all(
    Array.from({ length: 80 }, (_, n) =>
      calls[n % 2]!.post('/api/messages/send-text?wait=0', { token: phone.token, number: QUIET, text: `try ${n}` }),
    ),
  )
  expect(answers.filter(({ status }) => status < 300)).toHaveLength(25)
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(55)
  await eventually(() => Promise.resolve(sentTexts().length === 25))
  expect(await used()).toBe(25)
  await replica.close()
})

it('every send tells the limit, what is left and when the day ends; the refusal tells when to come back', async () => {
  const { user, text } = await newSender(app)
  await app.db.query('update users set max_messages_per_day = 2 where id = $1', [user.id])
  const remaining = []
  for (let n = 0; n < 2; n++) {
    const { headers } = await text(QUIET, `left ${n}`)
    remaining.push(headers['x-quota-remaining'])
    expect(Date.parse(headers['x-quota-reset']!)).toBeGreaterThan(Date.now())
  }
  expect(remaining).toEqual(['1', '0'])
  const refused = await text(QUIET, 'too many')
  expectRefusal(refused, 429, 'quota_exceeded')
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  expect(refused.body.error.details).toMatchObject({ resets_at: expect.any(String) })
})

it('80 % and all of the day are told once each, though refunds cross them again', async () => {
  const { user, phone, queue, text } = await newSender(app)
  await limitTo(user.id, 10)
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const ids: number[] = []
  for (let n = 0; n < 10; n++) ids.push(await queue(QUIET, `n ${n}`))
  for (const id of ids.slice(0, 4)) await user.post(`/api/messages/${id}/cancel`)
  for (let n = 0; n < 4; n++) await queue(QUIET, `again ${n}`)
  expectRefusal(await text(QUIET, 'over'), 429, 'quota_exceeded')
  const told = await eventsOf(app, user, 'usage.threshold')
  expect(told.map(({ data }) => [data.percent, data.used, data.limit])).toEqual([
    [80, 8, 10],
    [100, 10, 10],
  ])
})

it('a higher limit has thresholds of its own', async () => {
  const { user, phone, queue } = await newSender(app)
  const limit = (max_messages_per_day: number) =>
    operatorOf(app.url).patch(`/users/${user.id}`, { max_messages_per_day })
  await limit(5)
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  for (let n = 0; n < 5; n++) await queue(QUIET, `n ${n}`)
  await limit(10)
  for (let n = 0; n < 5; n++) await queue(QUIET, `more ${n}`)
  const told = await eventsOf(app, user, 'usage.threshold')
  expect(told.map(({ data }) => [data.percent, data.limit])).toEqual([
    [80, 5],
    [100, 5],
    [80, 10],
    [100, 10],
  ])
})

it('a day that is full says which one it is, and what waits for it is told not to wait', async () => {
  const { user, phone, text } = await newSender(app)
  await limitTo(user.id, 1)
  const body = { token: phone.token, number: QUIET, text: 'later', send_at: new Date(Date.now() + 2 * 86_400_000) }
  expect((await user.post('/api/messages/send-text', body)).status).toBe(202)
  const refused = await user.post('/api/messages/send-text', body)
  expectRefusal(refused, 429, 'quota_exceeded')
  expect(refused.body.error.details).toEqual({
    limit: expect.any(Number),
    day: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
  })
  expect(refused.headers).not.toHaveProperty('retry-after')
  expect((await text(QUIET, 'today is not')).status).toBe(200)
  const today = await text(QUIET, 'now it is')
  expect(today.body.error.details).toMatchObject({ resets_at: expect.any(String) })
  expect(today.headers).toHaveProperty('retry-after')
})

it('what one user has been told does not keep it from another', async () => {
  const [ani, budi] = [await newSender(app), await newSender(app)]
  for (const { user, phone, queue } of [ani, budi]) {
    await limitTo(user.id, 5)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    for (let n = 0; n < 3; n++) await queue(QUIET, `n ${n}`)
  }
  for (const { queue, user } of [ani, budi]) {
    await queue(QUIET, 'the fourth')
    expect((await eventsOf(app, user, 'usage.threshold')).map(({ data }) => data.percent)).toEqual([80])
  }
})

it('an unconfirmed message stays charged, a failed and an expired one do not, each once', async () => {
  const { phone, queue, becomes, used, queueState } = await newSender(app)
  await becomes(await queue('628000000015', 'unclear'), 'unconfirmed')
  await becomes(await queue('628000000002', 'nobody'), 'failed')
  expect(await used()).toBe(1)
  phone.controls.setTroubles({ connection_closed: true }, phone.engine_name)
  await queue(QUIET, 'too old', { ttl_seconds: 10 })
  await eventually(async () => (await queueState()).blocked_reason !== null)
  const late = new Date(Date.now() + 60_000)
  const expired = await Promise.all([app.ctx.queue.expire(late), app.ctx.queue.expire(late)])
  expect(expired.reduce((sum, n) => sum + n)).toBe(1)
  expect(await used()).toBe(1)
})

it('what is left of today is told beside the end of today, also where another day has more', async () => {
  const { text } = await newSender(app)
  await text(QUIET, 'first')
  const now = await text(QUIET, 'second')
  const send_at = new Date(Date.now() + 3 * 86_400_000).toISOString()
  const then = await text(QUIET, 'then', { send_at })
  expect(then.headers['x-quota-remaining']).toBe(now.headers['x-quota-remaining'])
})

it('a message to a group goes out while new conversations are held back', async () => {
  const { queue, lane, show, becomes } = await newSender(app)
  await lane(`restricted_until = now() + interval '6 hours'`)
  const held = await queue(QUIET, 'a new conversation')
  const group = await queue('120363000000000001@g.us', 'to all of us')
  await becomes(group, 'sent', 'delivered', 'read', 'failed')
  expect((await show(held)).status).toBe('queued')
})
