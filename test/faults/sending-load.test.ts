import { randomUUID } from 'node:crypto'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from '../support/test-app.js'
import { QUIET, newSender, senderOf } from '../support/sending.js'
import { SHORT } from '../support/webhook-faults.js'

let app: TestApp
let urls: string[]
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 5 } })
  urls = [app.url, (await app.startReplica()).url]
})
afterAll(() => app.stop())

/** A bare call: there are thousands of them. */
async function call(url: string, user: TestUser, path: string, body: object, key?: string) {
  const headers: Record<string, string> = { 'content-type': 'application/json', 'x-api-key': user.api_key }
  if (key !== undefined) headers['idempotency-key'] = key
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await answer.text()
  return { status: answer.status, body: JSON.parse(text) as { message?: { id: number } } }
}

/** Runs `count` calls, so many at a time, on both replicas in turn. */
async function storm<T>(count: number, atOnce: number, work: (n: number, url: string) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const one = async () => {
    while (next < count) {
      const n = next++
      results[n] = await work(n, urls[n % 2]!)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
  return results
}

const send = (user: TestUser, phone: ConnectedNumber, text: string, url: string, key?: string, number = QUIET) =>
  call(url, user, '/api/messages/send-text?wait=0', { token: phone.token, number, text }, key)

it('a hundred at once with one key, for many keys, send once per key', async () => {
  const { user, phone, sentTexts } = await newSender(app)
  await app.db.query('update users set max_messages_per_day = 100000 where id = $1', [user.id])
  const keys = Array.from({ length: SHORT ? 6 : 50 }, () => randomUUID())
  for (const key of keys) {
    const answers = await storm(100, 100, (_, url) => send(user, phone, key, url, key))
    expect(new Set(answers.map(({ body }) => body.message?.id)).size).toBe(1)
    expect(answers.filter(({ status }) => status > 202)).toEqual([])
  }
  await eventually(() => Promise.resolve(sentTexts().length === keys.length), 60_000)
  expect([...sentTexts()].sort()).toEqual([...keys].sort())
})

it('a race for the quota on two replicas ends at the limit exactly', async () => {
  const { user, phone, used } = await newSender(app)
  const [limit, tries] = SHORT ? [200, 800] : [1_000, 5_000]
  await app.db.query('update users set max_messages_per_day = $2 where id = $1', [user.id, limit])
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const answers = await storm(tries, 64, (n, url) => send(user, phone, `try ${n}`, url))
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(limit)
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(tries - limit)
  const { rows } = await app.db.query('select count(*) as n from messages where phone_number_id = $1', [phone.id])
  expect([rows, await used()]).toEqual([[{ n: limit }], limit])
  await user.delete(`/api/phone-numbers/${phone.id}/queue`)
  expect(await used()).toBe(0)
})

it('sends over five numbers keep order and gap, one in flight each', async () => {
  const user = await app.createUser({ plan_type: 'enterprise' })
  const phones = [await app.connectedNumber(user)]
  while (phones.length < 5) phones.push(await app.connectedNumber(user))
  const senders = phones.map((phone) => ({
    phone,
    accepted: [] as { id: number; text: string }[],
    ...senderOf(app, user, phone),
  }))
  const gap = 0.04
  for (const { lane } of senders) await lane(`gap_seconds = ${gap}`)
  const count = SHORT ? 100 : 500
  await storm(count, 10, async (n, url) => {
    const { phone, accepted } = senders[n % 5]!
    const { body } = await send(user, phone, `message ${n}`, url, undefined, '628000000012')
    accepted.push({ id: body.message!.id, text: `message ${n}` })
  })
  for (const { accepted, engineCalls, sentTexts } of senders) {
    await eventually(() => Promise.resolve(sentTexts().length === count / 5), 120_000)
    expect(sentTexts()).toEqual(accepted.sort((a, b) => a.id - b.id).map(({ text }) => text))
    const calls = engineCalls().sort((a, b) => a.began - b.began)
    const pauses = calls.slice(1).map(({ began }, i) => began - calls[i]!.ended)
    // ±25 % of the gap; the engine's log has whole milliseconds.
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(gap * 750 - 2)
  }
})

describe('the ledger of a day', () => {
  const FAR_APART = ['Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Asia/Jakarta'] // never the same day in all of them
  const NUMBERS = [QUIET, QUIET, '628000000002', '628000000015', '628000000008', 'nobody']
  const pick = <T>(list: T[]) => list[Math.floor(Math.random() * list.length)]!

  it('adds up after any mixture of sends, failures, refunds, cancellations and midnights', async () => {
    const { user, phone, lane } = await newSender(app)
    const limit = 120
    await app.db.query('update users set max_messages_per_day = $2 where id = $1', [user.id, limit])
    const inDays = (days: number) => new Date(Date.now() + days * 86_400_000 + 60_000).toISOString()
    const ids: number[] = []
    const sendOne = async (url: string, fields: object) => {
      const body = { token: phone.token, number: pick(NUMBERS), text: randomUUID(), ...fields }
      const answer = await call(url, user, '/api/messages/send-text?wait=0', body)
      if (answer.body.message) ids.push(answer.body.message.id)
    }
    const queuePath = `/api/phone-numbers/${phone.id}/queue`
    const steps: [number, (url: string) => Promise<unknown>][] = [
      [30, (url) => sendOne(url, {})],
      [12, (url) => sendOne(url, { send_at: inDays(pick([0, 1, 2, 3])) })],
      [12, (url) => call(url, user, `/api/messages/${pick(ids)}/cancel`, {})],
      [8, () => user.patch(`/api/messages/${pick(ids)}`, { send_at: inDays(pick([0, 1, 2])) })],
      [8, (url) => call(url, user, `/api/messages/${pick(ids)}/retry?wait=0`, {})],
      [
        6,
        (url) =>
          call(url, user, '/api/messages/bulk', {
            token: phone.token,
            messages: Array.from({ length: 5 }, () => ({ number: pick(NUMBERS), text: randomUUID() })),
          }),
      ],
      [4, () => app.ctx.queue.releaseScheduled(new Date(inDays(pick([0, 1]))))],
      [4, () => lane(`blocked_reason = 'test', blocked_since = now() - interval '2 days', due_at = 'infinity'`)],
      [4, () => app.ctx.queue.expire()],
      [6, () => lane('blocked_reason = null, blocked_since = null, due_at = now()')],
      [2, () => user.delete(queuePath)],
      [2, () => user.post(`${queuePath}/${pick(['pause', 'resume', 'resume'])}`)],
      [2, () => midnight(user, pick(FAR_APART))],
    ]
    const weighted = steps.flatMap(([weight, step]) => Array<typeof step>(weight).fill(step))
    await sendOne(urls[0]!, {})
    await storm(SHORT ? 800 : 10_000, 12, (_, url) => pick(weighted)(url))

    await user.post(`${queuePath}/resume`)
    await lane('blocked_reason = null, blocked_since = null, due_at = now()')
    const { rows } = await app.db.query<{ used: number; charged: number }>(
      `select d.day, d.used, (select count(*) from messages m
                               where m.user_id = d.user_id and m.quota_day = d.day and not m.refunded) as charged
         from daily_usage d where d.user_id = $1`,
      [user.id],
    )
    expect(rows.length).toBeGreaterThan(3)
    for (const row of rows) expect(row).toEqual({ ...row, used: row.charged })
    for (const { used } of rows) expect(used).toBeLessThanOrEqual(limit)
    const refunded = await app.db.query(
      `select 1 from messages where user_id = $1 and refunded and status not in ('failed', 'expired', 'canceled')`,
      [user.id],
    )
    expect(refunded.rowCount).toBe(0)
  })

  async function midnight(user: TestUser, timeZone: string) {
    await app.db.query('update users set time_zone = $2 where id = $1', [user.id, timeZone])
    app.ctx.bus.tell('auth.changed', { user_id: user.id })
  }
})
