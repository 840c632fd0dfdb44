import { BEGIN_BY_KEYS } from '../src/db/database.js'
import { asked } from './support/asked.js'
import { startChild } from './support/child-server.js'
import { type Explained, type Plan, stepsIn } from './support/plans.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

const USERS = 8_000
const MESSAGES = 50_000
/**
 * The one worker that reads all numbers, once a minute: what it is about is how each of them does. And the one that deletes
 * thousands of rows at once: of as few as there are here, reading them all is a good way to find them.
 */
const READS_MANY = ['ack-ratio', 'pruner']

/** Enough rows that reading a whole table is never the cheapest way. */
const GENERATED = [
  `insert into servers (name, url, listed) select 'many-' || n, 'http://127.0.0.1:9', false from generate_series(0, 99) n`,
  `insert into users (email, password_hash, api_key, plan_type, max_phone_numbers, max_messages_per_day, time_zone)
   select 'many' || n || '@example.com', 'x', 'wsk_…', 'enterprise', 50, 50000, 'Asia/Jakarta' from generate_series(1, ${USERS}) n`,
  `insert into api_keys (user_id, name, key_hash, hint) select id, 'default', sha256(id::text::bytea), 'wsk_…' from users where email like 'many%'`,
  `insert into feeds (user_id, last_position) select id, 20 from users where email like 'many%'`,
  `insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, status, first_connected_at)
   select id, 'many-' || id % 100, 'many_' || id, 'wst_' || id, 'Many', 'connected', now() from users where email like 'many%'`,
  `insert into lanes (phone_number_id) select id from phone_numbers where display_name = 'Many'`,
  `insert into webhooks (user_id, phone_number_id, url, secret, event_types)
   select user_id, id, 'http://127.0.0.1:9/', 'whsec_', '{message.received}' from phone_numbers where display_name = 'Many'`,
  `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, whatsapp_id, quota_day)
   select p.user_id, p.id, 'outgoing', 'api', 'text', '628111', '{"text":"x"}', 'read', 'M' || n, '2026-01-01'
     from (select id, user_id, row_number() over (order by id) as nr from phone_numbers where display_name = 'Many') p
     join generate_series(1, ${MESSAGES}) n on n % ${USERS} + 1 = p.nr`,
  `insert into message_stats (phone_number_id, date, messages_sent)
   select p.id, d, 5 from phone_numbers p, generate_series('2026-01-01'::date, '2026-01-10', '1 day') d where p.display_name = 'Many'`,
  `insert into daily_usage (user_id, day, used)
   select u.id, d, 5 from users u, generate_series('2026-01-01'::date, '2026-01-05', '1 day') d where u.email like 'many%'`,
  `insert into events (public_id, user_id, phone_number_id, position, type, payload)
   select 'evt_' || p.id || '_' || n, p.user_id, p.id, n, 'message.received', '{}'
     from phone_numbers p, generate_series(1, 3) n where p.display_name = 'Many'`,
  `insert into deliveries (event_id, webhook_id, phone_number_id, status)
   select e.id, w.id, e.phone_number_id, 'delivered' from events e join webhooks w on w.phone_number_id = e.phone_number_id
    where e.public_id like 'evt\\_%\\_%'`,
  `insert into webhook_logs (phone_number_id, event_type, payload, status_code, delivery_id, attempt)
   select phone_number_id, 'message.received', '{}', 200, id, 1 from deliveries`,
  `insert into api_requests (user_id, endpoint, method, status_code, duration_ms, request_id)
   select id, '/api/dashboard', 'GET', 200, 1, 'x' from users`,
  `insert into ingress_keys (key) select sha256(n::text::bytea) from generate_series(1, ${USERS}) n`,
  'analyze',
]

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
  user = await app.createUser()
  for (const statement of GENERATED) await app.db.query(statement)
  phone = await app.connectedNumber(user, { webhook_url: sink.url })
}, 120_000)
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

async function largeTables(): Promise<Set<string>> {
  const { rows } = await app.db.query<{ name: string }>(
    'select relname as name from pg_class where relkind = $1 and reltuples > 5000',
    ['r'],
  )
  return new Set(rows.map(({ name }) => name))
}

async function twelveCalls() {
  const registered = await app.createUser()
  await app.api.post('/api/auth/login').send({ email: user.email, password: user.password })
  await user.get('/api/user/profile')
  const { body } = await registered.post('/api/phone-numbers/create', { display_name: 'Shop', webhook_url: sink.url })
  const { id } = body.phone_number
  await registered.get(`/api/phone-numbers/${id}/qr`)
  await registered.get('/api/phone-numbers')
  await registered.get(`/api/phone-numbers/${id}/status`)
  await registered.delete(`/api/phone-numbers/${id}`)
  const to = { token: phone.token, number: '628000000001' }
  await user.post('/api/messages/send-text', { ...to, text: 'Hi' })
  await user.post('/api/messages/send-text', { ...to, from: 'auto', token: undefined, text: 'Hi' })
  await user.post('/api/messages/send-text', { ...to, number: '628000000002', text: 'Refunded' })
  await user.post('/api/messages/send-media', { ...to, mediaType: 'document', base64: 'aGVsbG8=' })
  await user.get('/api/statistics?start_date=2026-01-01&end_date=2026-12-31')
  await user.get('/api/dashboard')
}

it('an API key costs one look-up in an index, and none while it is cached', async () => {
  const { api_key } = await app.createUser()
  const authenticate = async () => void (await app.ctx.authenticator.authenticate({ api_key }))
  const check = () => asked(authenticate, { of: 'work' })
  const first = [...(await check())]
  expect(first).toHaveLength(1)
  const [[text, values]] = first as [[string, unknown[]]]
  const { rows } = await app.db.query<Explained>(`explain (format json) ${text}`, values)
  const reads = stepsIn(rows).filter((node) => node['Relation Name'])
  expect(reads.map((node) => [node['Relation Name'], node['Node Type']])).toEqual([
    ['api_keys', 'Index Scan'],
    ['users', 'Index Scan'],
  ])
  expect((await check()).size).toBe(0)
})

it('a claim of deliveries looks at each due queue once, also where the table is small', async () => {
  const DUE = 128
  const statements = await asked(async () => void (await app.crew.delivery.runAll()), { of: 'work' })
  const text = [...statements.keys()].find((statement) => statement.includes('of q skip locked'))!
  let steps: Plan[]
  const done = app.db.transaction(async (tx) => {
    await tx.query('delete from webhook_queues')
    await tx.query(
      `insert into webhook_queues (webhook_id, user_id, due_at)
       select id, user_id, now() from webhooks order by id limit ${DUE}`,
    )
    await tx.query('analyze webhook_queues')
    await tx.query(`prepare claim as ${text}`)
    const { rows } = await tx.query<Explained>(
      `explain (analyze, format json) execute claim(now(), 'nobody', '{}', '{}', 512)`,
    )
    steps = stepsIn(rows)
    throw new Error('The workers must not see these queues.')
  }, BEGIN_BY_KEYS)
  await expect(done).rejects.toThrow('must not see')
  const reads = steps!.filter((node) => node['Relation Name'] === 'webhook_queues')
  const seen = reads.map((node) => node['Actual Rows']! * node['Actual Loops']!)
  expect(seen.reduce((sum, n) => sum + n, 0)).toBe(2 * DUE) // to choose them, and to lock them
})

/** Queue, receipts, incoming messages, deliveries, take-over, each worker's round: what goes on beside the calls. */
async function work() {
  await Promise.all(
    Array.from({ length: 5 }, (_, n) =>
      user.post('/api/messages/send-text?wait=0', { token: phone.token, number: '628000000001', text: `Queue ${n}` }),
    ),
  )
  await eventually(() => Promise.resolve(sink.ofType('message.received').length >= 7))
  const child = await startChild(app)
  const held = app
    .as(user, child)
    .post('/api/messages/send-text?wait=0', { token: phone.token, number: '628000000012', text: 'Held' })
  await held
  await child.end('SIGKILL')
  await app.db.query(`update processes set heartbeat_at = now() - interval '16 s' where id = $1`, [child.process_id])
  await app.ctx.membership.buryDead()
  await app.ctx.lanes.runDue()
  await app.crew.delivery.runAll()
  const rounds = [...app.crew.always, ...app.crew.workers].filter(({ name }) => !READS_MANY.includes(name))
  for (const worker of rounds) await worker.runOnce()
  await app.ctx.requestLog.flush()
}

it('no call and no worker reads a large table from end to end', async () => {
  const statements = await asked(
    async () => {
      await twelveCalls()
      await work()
    },
    { of: 'all' },
  )
  const large = await largeTables()
  expect([...large]).toEqual(
    expect.arrayContaining(['users', 'phone_numbers', 'messages', 'deliveries', 'api_requests']),
  )
  expect(statements.size).toBeGreaterThan(40)
  const scans: string[] = []
  for (const [text, values] of statements) {
    const { rows } = await app.db.query<Explained>(`explain (format json) ${text}`, values)
    for (const node of stepsIn(rows))
      if (node['Node Type'] === 'Seq Scan' && large.has(node['Relation Name']!))
        scans.push(`${node['Relation Name']}: ${text.replace(/\s+/g, ' ').slice(0, 300)}`)
  }
  expect(scans).toEqual([])
}, 60_000)
