import type { Database, Queryable } from '../src/db/database.js'
import { Pruner } from '../src/workers/pruner.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, happens, incomingText, seedNumber, tell } from './support/webhook-stage.js'

const DAY = 86_400_000

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: Seeded
// Nobody works here without being asked.
beforeAll(async () => {
  const days = {
    EVENT_DAYS: '30',
    WEBHOOK_LOG_DAYS: '10',
    MESSAGE_BODY_DAYS: '90',
    MESSAGE_DAYS: '365',
    MEDIA_DAYS: '7',
  }
  app = await startTestApp({ env: { ROLE: 'api', ...days }, servers: 1 })
})
afterAll(() => app.stop())
beforeEach(async () => {
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await seedNumber(app, user)
})
afterEach(() => sink.stop())

const inDays = (days: number) => new Date(Date.now() + days * DAY)
/** As if so many days had passed. */
const pruneIn = (days: number) => app.crew.pruner.runOnce(inDays(days))

const happen = (text: string) => happens(app, phone, text)

interface Told {
  id: string
  data: { message: { content: { text: string } } }
}
const textOf = (event: Told) => event.data.message.content.text
const feed = async (query: string) => {
  const { status, body } = await user.get(`/api/events${query}`)
  expect(status).toBe(200)
  return body as { events: Told[]; next_cursor: string; expired: number }
}

/** Messages as they would be after a while, oldest first. */
async function store(n: number, status: string, columns: Record<string, unknown> = {}): Promise<number[]> {
  const names = Object.keys(columns)
  const { rows } = await app.db.query<{ id: number }>(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status ${names.map((name) => `, ${name}`).join('')})
     select $1, $2, 'outgoing', 'api', 'text', '628111222333', '{"text":"secret"}', $3 ${names.map((_, i) => `, $${i + 5}`).join('')}
       from generate_series(1, $4) returning id`,
    [user.id, phone.id, status, n, ...Object.values(columns)],
  )
  return rows.map(({ id }) => id)
}
const leftOf = async (ids: number[], where = 'true') =>
  (await app.db.query(`select 1 from messages where id = any($1) and ${where}`, [ids])).rowCount
const SAYS_SOMETHING = `content <> '{}'`

describe('events and their deliveries', () => {
  it('go when they are old; what is young or still owed stays, and every cursor goes on working', async () => {
    const webhook = await createWebhook(user, { url: sink.url })
    const deliveries = async (query = '') =>
      (await user.get(`/api/webhooks/${webhook.id}/deliveries${query}`)).body as {
        deliveries: { id: number; status: string; event_id: string }[]
        next_cursor: string | null
      }
    sink.replyWith(500)
    await happen('owed')
    await app.crew.delivery.runAll()
    for (const text of ['old', 'older than it looks', 'young']) await happen(text)
    await app.crew.delivery.runAll()
    await app.db.query(
      `update events set created_at = created_at + interval '10 days' where user_id = $1 and position = 4`,
      [user.id],
    )
    const before = await feed('')
    const first = await feed('?limit=1')
    const [newest] = (await deliveries('?limit=1')).deliveries
    const { next_cursor } = await deliveries('?limit=1')
    expect(before.events.map(textOf)).toEqual(['owed', 'old', 'older than it looks', 'young'])

    await pruneIn(29)
    expect((await feed('')).events).toEqual(before.events)

    await pruneIn(31)
    expect((await feed('')).events.map(textOf)).toEqual(['owed', 'young'])
    // Two of the four are gone, wherever somebody goes on reading.
    expect(await feed(`?after=${first.next_cursor}`)).toMatchObject({
      expired: 2,
      events: [{ id: before.events[3]!.id }],
    })
    expect(await feed(`?after=${first.next_cursor}&types=message.received`)).toMatchObject({ expired: 2 })
    expect(await feed(`?after=${before.next_cursor}`)).toMatchObject({ expired: 0, events: [] })
    expect((await user.get(`/api/events/${before.events[1]!.id}`)).status).toBe(404)

    const left = (await deliveries()).deliveries
    expect(left.map(({ event_id, status }) => [event_id, status])).toEqual([
      [before.events[3]!.id, 'delivered'],
      [before.events[0]!.id, 'pending'],
    ])
    expect(left[0]).toEqual(newest)
    expect((await deliveries(`?cursor=${next_cursor}`)).deliveries).toEqual([left[1]])

    expect((await user.post(`/api/deliveries/${left[1]!.id}/redeliver`)).status).toBe(202)
    await app.crew.delivery.runAll()
    expect(sink.received.at(-1)!.headers['webhook-id']).toBe(before.events[0]!.id)
    await pruneIn(31)
    expect((await feed('')).events.map(textOf)).toEqual(['young'])
  })

  it('of a deleted webhook are owed to nobody', async () => {
    const webhook = await createWebhook(user, { url: sink.url })
    await happen('never fetched')
    await user.delete(`/api/webhooks/${webhook.id}`)
    await pruneIn(31)
    expect(await feed('')).toMatchObject({ events: [], expired: 0 })
  })

  it('take their attempts along', async () => {
    await createWebhook(user, { url: sink.url })
    await happen('x')
    await app.crew.delivery.runAll()
    await app.db.query(`update webhook_logs set sent_at = sent_at + interval '30 days' where phone_number_id = $1`, [
      phone.id,
    ])
    const attempts = async () =>
      (await app.db.query('select 1 from webhook_logs where phone_number_id = $1', [phone.id])).rowCount
    await pruneIn(29)
    expect(await attempts()).toBe(1)
    await pruneIn(31)
    expect(await attempts()).toBe(0)
  })

  it('lose their attempts earlier than themselves', async () => {
    const webhook = await createWebhook(user, { url: sink.url })
    await happen('x')
    await app.crew.delivery.runAll()
    const { id } = (await user.get(`/api/webhooks/${webhook.id}/deliveries`)).body.deliveries[0]
    const delivery = async () => (await user.get(`/api/deliveries/${id}`)).body.delivery
    await pruneIn(9)
    const before = await delivery()
    expect(before).toMatchObject({ status: 'delivered', attempt_count: 1, settled_at: expect.any(String) })
    expect(before.attempts).toHaveLength(1)
    await pruneIn(11)
    expect(await delivery()).toEqual({ ...before, attempts: [] })
  })
})

describe('messages', () => {
  it('lose what they say, and count as before', async () => {
    await happen('secret')
    const [message] = (await user.get('/api/messages')).body.messages
    const statistics = (await user.get('/api/statistics')).body.statistics
    await pruneIn(89)
    expect((await user.get(`/api/messages/${message.id}`)).body.message.content).toMatchObject({ text: 'secret' })
    await pruneIn(91)
    const emptied = (await user.get(`/api/messages/${message.id}`)).body.message
    expect(emptied.content).toEqual({})
    expect(emptied).toMatchObject({ whatsapp_id: message.whatsapp_id, recipient: message.recipient })
    expect((await user.get('/api/statistics')).body.statistics).toEqual(statistics)
    expect(statistics.totals.messages_received).toBe(1)
    // The engine repeating it later is no new message.
    await tell(app.url, phone.engine_name, incomingText(phone.engine_name, 'secret', message.whatsapp_id))
    expect((await user.get('/api/messages')).body.messages).toHaveLength(1)
  })

  it('that are not over keep it until they are', async () => {
    const scheduled = await store(1, 'queued', { send_at: inDays(200) })
    const unclear = await store(1, 'unconfirmed', { reconcile_at: new Date() })
    const settled = await store(1, 'unconfirmed')
    await pruneIn(91)
    expect(await leftOf([...scheduled, ...unclear], SAYS_SOMETHING)).toBe(2)
    expect(await leftOf(settled, SAYS_SOMETHING)).toBe(0)
    await app.db.query(`update messages set status = 'sent', send_at = null where id = any($1)`, [
      [...scheduled, ...unclear],
    ])
    await pruneIn(92)
    expect(await leftOf([...scheduled, ...unclear], SAYS_SOMETHING)).toBe(0)
  })

  it('of which nothing is left cannot be sent again', async () => {
    const [id] = await store(1, 'failed')
    await pruneIn(91)
    expectRefusal(await user.post(`/api/messages/${id}/retry`), 409, 'conflict')
  })

  it('go altogether when that is wished, past any number that has to stay, a thousand at a time', async () => {
    const waiting = await store(1_100, 'queued', { send_at: inDays(360) })
    const over = await store(2_200, 'sent')
    await app.db.query(`insert into media (message_id, bytes) select unnest($1::bigint[]), 'x'`, [
      [...waiting, ...over],
    ])
    const affected: (number | null)[] = []
    const watch = (db: Queryable) => ({
      query: async (text: string, values?: unknown[]) => {
        const result = await db.query<Record<string, unknown>>(text, values)
        affected.push(result.rowCount)
        return result
      },
    })
    const transaction = (work: (tx: object) => Promise<unknown>) => app.db.transaction((tx) => work(watch(tx)))
    const watched = { ...watch(app.db), transaction } as unknown as Database
    const media = async (ids: number[]) =>
      (await app.db.query('select 1 from media where message_id = any($1)', [ids])).rowCount
    const pruner = new Pruner(watched, app.ctx.config.retention)
    await pruner.runOnce(inDays(8))
    expect([await media(waiting), await media(over)]).toEqual([1_100, 0])
    await pruner.runOnce(inDays(364))
    expect([await leftOf(waiting), await leftOf(over)]).toEqual([1_100, 2_200])
    await pruner.runOnce(inDays(366))
    expect([await leftOf(waiting, SAYS_SOMETHING), await leftOf(over)]).toEqual([1_100, 0])
    expect(Math.max(...affected.map(Number))).toBeLessThanOrEqual(1_000)
  })
})

it.each([
  [
    'api_requests',
    30,
    `insert into api_requests (endpoint, method, status_code, duration_ms, request_id) values ('/x', 'GET', 200, 1, 'r')`,
  ],
  ['ingress_keys', 7, `insert into ingress_keys (key) values ('x')`],
  ['contact_checks', 7, `insert into contact_checks (recipient, on_whatsapp) values ('628000000001', true)`],
  ['unprocessed_events', 30, `insert into unprocessed_events (engine_name, reason, size) values ('e', 'r', 1)`],
  [
    'idempotency_keys',
    1,
    `insert into idempotency_keys (user_id, key, body_hash, message_id) select id, 'k', 'x', 1 from users limit 1`,
  ],
  [
    'early_receipts',
    1,
    `insert into early_receipts (phone_number_id, whatsapp_id, status) select id, 'w', 'sent' from phone_numbers limit 1`,
  ],
])('rows of %s are kept for %d days', async (table, days, insert) => {
  await app.db.query(`delete from ${table}`)
  await app.db.query(insert)
  const left = async () => (await app.db.query(`select 1 from ${table}`)).rowCount
  await pruneIn(days - 0.1)
  expect(await left()).toBe(1)
  await pruneIn(days + 0.1)
  expect(await left()).toBe(0)
})

it('messages whose ids and ages are in another order lose what they say all the same', async () => {
  for (const text of ['old', 'young', 'old too']) await happen(text)
  const age = (text: string, days: number) =>
    app.db.query(
      `update messages set created_at = now() - make_interval(days => $3) where user_id = $1 and content->>'text' = $2`,
      [user.id, text, days],
    )
  await age('old', 100)
  await age('old too', 100)
  const kept = async () => {
    const { rows } = await app.db.query<{ text: string }>(
      `select content->>'text' as text from messages where user_id = $1 and content <> '{}' order by id`,
      [user.id],
    )
    return rows.map(({ text }) => text)
  }
  await app.crew.pruner.runOnce()
  await pruneIn(91)
  expect(await kept()).toEqual([])
})
