import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

/** As the specification gives them to whoever looks for trouble. */
const TROUBLESHOOTING = [
  'SELECT * FROM users;',
  'SELECT * FROM phone_numbers;',
  'SELECT * FROM phone_number_details;',
  'SELECT * FROM webhook_logs ORDER BY sent_at DESC LIMIT 10;',
]

/** Tables and columns the specification names. */
const SPECIFIED: Record<string, string> = {
  users: 'id, email, password_hash, api_key, plan_type, max_phone_numbers, status, created_at, updated_at',
  phone_numbers:
    'id, user_id, instance_name, token, phone_number, display_name, status, server_instance, qr_code, webhook_url, created_at',
  message_stats: 'phone_number_id, date, messages_sent, messages_received, media_sent, media_received',
  webhook_logs: 'phone_number_id, event_type, payload, status_code, sent_at, response_time_ms',
  api_requests: 'user_id, endpoint, method, ip_address, created_at',
}

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await app.connectedNumber(user, { webhook_url: sink.url })
  await user.post('/api/messages/send-text', { token: phone.token, number: '628000000001', text: 'Hello' })
  await eventually(async () => (await rowsOf('SELECT * FROM webhook_logs')).length === 2)
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

const rowsOf = async (query: string) => (await app.db.query(query)).rows

it.each(TROUBLESHOOTING)('%s runs as written and shows something', async (query) => {
  expect(await rowsOf(query)).not.toEqual([])
})

it.each(Object.entries(SPECIFIED))('%s has the columns of the specification', async (table, columns) => {
  await expect(rowsOf(`select ${columns} from ${table}`)).resolves.toBeDefined()
})

it('phone_number_details shows today’s statistics and no secret', async () => {
  const [row] = await rowsOf('SELECT * FROM phone_number_details')
  expect(row).toMatchObject({
    id: phone.id,
    user_id: user.id,
    email: user.email,
    status: 'connected',
    messages_sent_today: 1,
    messages_received_today: 1,
    media_sent_today: 0,
  })
})

it('user_dashboard adds up a user', async () => {
  const [row] = await rowsOf('SELECT * FROM user_dashboard')
  expect(row).toMatchObject({
    user_id: user.id,
    plan_type: 'business',
    phone_numbers: 1,
    connected_phone_numbers: 1,
    messages_used_today: 1,
    messages_sent_today: 1,
    messages_received_today: 1,
  })
})

it.each(['user_dashboard', 'phone_number_details'])('%s has no column that holds a credential', async (view) => {
  const { rows } = await app.db.query(
    `select column_name as name from information_schema.columns where table_name = $1`,
    [view],
  )
  expect(rows.length).toBeGreaterThan(5)
  expect(rows.filter(({ name }) => /key|token|secret|password|hash|qr/.test(name as string))).toEqual([])
})

it('SELECT * FROM users shows a hint in place of the key', async () => {
  const [row] = await rowsOf('SELECT * FROM users')
  expect(row!.api_key).toMatch(/^wsk_…[\w-]{4}$/)
})

it('api_requests remembers who called what, by the pattern of the route', async () => {
  await app.ctx.requestLog.flush()
  const rows = await rowsOf(`select endpoint, method, user_id, ip_address, status_code from api_requests order by id`)
  expect(rows).toContainEqual({
    endpoint: '/api/phone-numbers/:id/status',
    method: 'GET',
    user_id: user.id,
    ip_address: '127.0.0.1',
    status_code: 200,
  })
  expect(JSON.stringify(rows)).not.toContain(`/${phone.id}/`)
})

it('the pruner forgets requests that are older than REQUEST_LOG_DAYS, and only those', async () => {
  await app.ctx.requestLog.flush()
  const [{ total }] = (await rowsOf('select count(*) as total from api_requests')) as [{ total: number }]
  await app.db.query(`update api_requests set created_at = now() - interval '31 days' where id % 2 = 0`)
  await app.crew.pruner.runOnce()
  const [{ left, old }] = (await rowsOf(
    `select count(*) as left, count(*) filter (where created_at < now() - interval '30 days') as old from api_requests`,
  )) as [{ left: number; old: number }]
  expect([left, old]).toEqual([Math.ceil(total / 2), 0])
})

it('a migration that was changed after it ran is refused', async () => {
  const { migrate } = await import('../src/db/migrate.js')
  await app.db.query(`update schema_migrations set checksum = 'another' where name like '0001%'`)
  await expect(migrate(app.database)).rejects.toThrow(/0001/)
})
