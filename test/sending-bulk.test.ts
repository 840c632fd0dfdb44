import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expectRefusal } from './support/refusal.js'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

const HOUR = 3_600_000
const DAY = 24 * HOUR
const later = (ms: number) => new Date(Date.now() + ms)
const at = (ms: number) => later(ms).toISOString()

/** What was spent, by day, without the days that cost nothing. */
async function ledgerOf(user: TestUser): Promise<number[]> {
  const { rows } = await app.db.query<{ used: number }>(
    'select used from daily_usage where user_id = $1 and used > 0 order by day',
    [user.id],
  )
  return rows.map(({ used }) => used)
}

describe('a message with send_at', () => {
  it('waits for its time and then goes out', async () => {
    const { text, show, becomes, queueState, timesSent } = await newSender(app)
    const answer = await text(QUIET, 'in an hour', { send_at: at(HOUR) }, '?wait=60')
    expect([answer.status, answer.body.message.status]).toEqual([202, 'queued'])
    const { id, send_at } = answer.body.message
    expect(Date.parse(send_at as string)).toBeGreaterThan(Date.now())
    expect(await queueState()).toMatchObject({ queued: 0, scheduled: 1 })
    expect(await app.ctx.queue.releaseScheduled(later(HOUR / 2))).toBe(0)
    await text(QUIET, 'before')
    expect((await show(id as number)).status).toBe('queued')
    expect(await app.ctx.queue.releaseScheduled(later(2 * HOUR))).toBe(1)
    await becomes(id as number, 'sent')
    expect(timesSent(QUIET, 'in an hour')).toBe(1)
  })

  it('is charged to its day, moves with its charge, and gives it back when canceled', async () => {
    const { user, queue } = await newSender(app)
    const id = await queue(QUIET, 'movable', { send_at: at(2 * DAY) })
    await queue(QUIET, 'today')
    expect(await ledgerOf(user)).toEqual([1, 1])
    const days = async () =>
      (
        await app.db.query<{ day: string }>(
          'select day from daily_usage where user_id = $1 and used > 0 order by day',
          [user.id],
        )
      ).rows
    const before = await days()
    const moved = await user.patch(`/api/messages/${id}`, { send_at: at(5 * DAY) })
    expect([moved.status, moved.body.message.status]).toEqual([200, 'queued'])
    expect([(await days())[0], (await days()).length]).toEqual([before[0], 2])
    expect((await days())[1]).not.toEqual(before[1])
    await app.db.query('update users set max_messages_per_day = 1 where id = $1', [user.id])
    expectRefusal(await user.patch(`/api/messages/${id}`, { send_at: at(1_000) }), 429, 'quota_exceeded')
    expect(await ledgerOf(user)).toEqual([1, 1])
    expect((await user.post(`/api/messages/${id}/cancel`)).status).toBe(200)
    expect(await ledgerOf(user)).toEqual([1])
    expectRefusal(await user.patch(`/api/messages/${id}`, { send_at: at(DAY) }), 409, 'conflict')
  })

  it('must be in the future and within a year', async () => {
    const { user, text } = await newSender(app)
    for (const send_at of [at(-1_000), at(367 * DAY), 'tomorrow', '2026-02-30T00:00:00Z', '2030-01-01'])
      expectRefusal(await text(QUIET, 'never', { send_at }), 400, 'invalid_request')
    expect(await ledgerOf(user)).toEqual([])
  })

  it('answers what is left of today beside the time when today ends', async () => {
    const { text } = await newSender(app)
    const now = await text(QUIET, 'now')
    const then = await text(QUIET, 'then', { send_at: at(3 * DAY) })
    expect(then.headers['x-quota-remaining']).toBe(now.headers['x-quota-remaining'])
  })
})

describe('a bulk', () => {
  const bulk = (user: TestUser, token: string, messages: unknown[], key?: string) => {
    const call = user.post('/api/messages/bulk', { token, messages })
    return key === undefined ? call : call.set('idempotency-key', key)
  }

  it('takes the good items and names each bad one', async () => {
    const { user, phone, sentTexts, used } = await newSender(app)
    const answer = await bulk(user, phone.token, [
      { number: QUIET, text: 'one' },
      { number: 'nobody', text: 'bad recipient' },
      { number: QUIET, text: '' },
      { number: QUIET, type: 'location', latitude: -6.2, longitude: 106.8, name: 'Monas' },
      'not an object',
      { number: QUIET, type: 'telegram', text: 'x' },
      { number: QUIET, type: 'image', base64: 'aGVsbG8=' },
      { number: QUIET, text: 'past', send_at: at(-1) },
      { number: QUIET, text: 'from another', token: 'token_of_another' },
      { number: QUIET, text: 'two' },
    ])
    expect([answer.status, answer.body.accepted, answer.body.rejected]).toEqual([202, 3, 7])
    const { results } = answer.body as { results: { index: number; message_id?: number; error?: { code: string } }[] }
    expect(results.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(results.map((result) => result.error?.code ?? 'fine')).toEqual([
      'fine',
      'invalid_request',
      'invalid_request',
      'fine',
      'invalid_request',
      'invalid_request',
      'media_rejected',
      'invalid_request',
      'invalid_request',
      'fine',
    ])
    expect(answer.body.results[5].error.details).toEqual([
      { path: 'type', message: expect.stringMatching(/^must be one of text, image/) as string },
    ])
    await eventually(() => Promise.resolve(sentTexts().length === 3))
    expect(sentTexts()).toEqual(['one', 'Monas', 'two'])
    expect(await used()).toBe(3)
  })

  it('is refused as a whole when its number is deleted', async () => {
    const { user, phone } = await newSender(app)
    await user.delete(`/api/phone-numbers/${phone.id}`)
    expectRefusal(await bulk(user, phone.token, [{ number: QUIET, text: 'to nobody' }]), 404, 'not_found')
  })

  it('fetches a file that many share once, and takes no more than fits into the memory', async () => {
    const { user, phone, used } = await newSender(app)
    let fetched = 0
    const server = createServer((_req, res) => {
      fetched++
      res.end(Buffer.alloc(4 * 1024 * 1024, 1))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const mediaUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/price-list.bin`
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const items = Array.from({ length: 20 }, () => ({ number: QUIET, type: 'document', mediaUrl }))
    const { body } = await bulk(user, phone.token, items)
    server.close()
    expect([fetched, body.accepted, body.rejected, await used()]).toEqual([1, 16, 4, 16])
    const { results } = body as { results: { message_id?: number; error?: { code: string } }[] }
    expect(results.at(-1)!.error!.code).toBe('payload_too_large')
    const last = await user.get(`/api/messages/${results[15]!.message_id}/media`).responseType('blob')
    expect((last.body as Buffer).length).toBe(4 * 1024 * 1024)
    expect((await user.delete(`/api/phone-numbers/${phone.id}/queue`)).body.canceled).toBe(16)
  })

  it('is taken whole or not at all by the quota', async () => {
    const { user, phone, used } = await newSender(app)
    await app.db.query('update users set max_messages_per_day = 4 where id = $1', [user.id])
    const five = Array.from({ length: 5 }, (_, n) => ({ number: QUIET, text: `item ${n}` }))
    expectRefusal(await bulk(user, phone.token, five, 'all'), 429, 'quota_exceeded')
    expect([await used(), (await user.get('/api/messages')).body.messages]).toEqual([0, []])
    expect((await bulk(user, phone.token, five.slice(1), 'all')).body.accepted).toBe(4)
    expect(await used()).toBe(4)
  })

  it('without a key is another one each time', async () => {
    const { user, phone } = await newSender(app)
    const ids = []
    for (let n = 0; n < 2; n++) {
      const { body } = await bulk(user, phone.token, [{ number: QUIET, text: 'Again' }])
      ids.push(body.results[0].message_id)
    }
    expect(new Set(ids).size).toBe(2)
  })

  it('repeated with its key sends nothing twice, whatever has happened since', async () => {
    const { user, phone, sentTexts } = await newSender(app)
    const messages = [
      { number: QUIET, text: 'first' },
      { number: 'bad', text: 'x' },
      { number: QUIET, text: 'soon', send_at: at(HOUR) },
    ]
    const first = await bulk(user, phone.token, messages, 'letter')
    await app.db.query('update users set max_messages_per_day = 1 where id = $1', [user.id])
    await app.ctx.queue.releaseScheduled(later(2 * HOUR))
    await eventually(() => Promise.resolve(sentTexts().length === 2))
    const second = await bulk(user, phone.token, messages, 'letter')
    expect(second.body).toEqual(first.body)
    const changed = [{ number: QUIET, text: 'another' }, ...messages.slice(1)]
    expect((await bulk(user, phone.token, changed, 'letter')).body.results).toMatchObject([
      { index: 0, error: { code: 'idempotency_mismatch' } },
      { index: 1, error: { code: 'invalid_request' } },
      { index: 2, message_id: expect.any(Number) },
    ])
    const other = await app.connectedNumber(user)
    const elsewhere = await bulk(user, other.token, messages.slice(0, 1), 'letter')
    expect(elsewhere.body.results).toMatchObject([{ error: { code: 'idempotency_mismatch' } }])
    expect(sentTexts()).toHaveLength(2)
    expect((await ledgerOf(user)).reduce((sum, used) => sum + used)).toBe(2)
  })

  it('holds 1 to 1,000 messages', async () => {
    const { user, phone, used, queueState } = await newSender(app)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const items = (n: number) => Array.from({ length: n }, (_, i) => ({ number: QUIET, text: `item ${i}` }))
    for (const wrong of [[], items(1_001)]) expectRefusal(await bulk(user, phone.token, wrong), 400, 'invalid_request')
    expect((await bulk(user, phone.token, items(1_000))).body.accepted).toBe(1_000)
    expect([await used(), (await queueState()).queued]).toEqual([1_000, 1_000])
  })

  it('needs a number of one’s own that is linked', async () => {
    const { user } = await newSender(app)
    const { phone } = await newSender(app)
    const fresh = (await user.post('/api/phone-numbers/create', { display_name: 'Not scanned' })).body.phone_number
    const items = [{ number: QUIET, text: 'x' }]
    expectRefusal(await bulk(user, phone.token, items), 404, 'not_found')
    expectRefusal(await bulk(user, fresh.token as string, items), 409, 'phone_number_not_connected')
  })
})
