import { type ConnectedNumber, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
let victim: TestUser
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser({ plan_type: 'starter' })
  victim = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(() => app.stop())

/** Names of our columns that a caller may try. */
const EXTRA = {
  id: 4_711,
  user_id: 1,
  status: 'connected',
  max_phone_numbers: 999,
  max_messages_per_day: 999_999,
  api_key: 'wsk_mine',
  api_key_hash: 'x',
  password_hash: 'x',
  token_version: 9,
  time_zone: 'Pacific/Kiritimati',
  active_until: '2099-01-01',
  created_at: '2000-01-01',
  server_instance: 'sandbox-9',
  instance_name: 'admin',
  engine_generation: 9,
  phone_number: '628999',
  first_connected_at: '2000-01-01',
  webhook_secret: 'whsec_mine',
  direction: 'incoming',
  source: 'phone',
  whatsapp_id: 'MINE',
  quota_day: '2000-01-01',
  process_id: 1,
  sent_at: '2000-01-01',
  is_admin: true,
  role: 'admin',
}

it('a registration chooses nothing but its plan', async () => {
  const body = { ...EXTRA, email: 'extra@example.com', password: 'SecurePass123!', plan_type: 'starter' }
  const { status, body: answer } = await app.api.post('/api/auth/register').send(body)
  expect(status).toBe(201)
  const { rows } = await app.db.query('select * from users where email = $1', [body.email])
  expect(rows[0]).toMatchObject({
    id: answer.user.id,
    status: 'active',
    max_phone_numbers: 3,
    max_messages_per_day: 1_000,
    token_version: 1,
    time_zone: 'Asia/Jakarta',
    active_until: null,
  })
  expect(answer.user.id).not.toBe(EXTRA.id)
  expect(answer.user.api_key).not.toBe(EXTRA.api_key)
  expect(rows[0]!.created_at.getTime()).toBeGreaterThan(Date.now() - 60_000)
})

it('a new number belongs to its creator and begins at the beginning', async () => {
  const body = { ...EXTRA, user_id: victim.id, display_name: 'Shop', token: 'mine' }
  const { status, body: answer } = await user.post('/api/phone-numbers/create', body)
  expect(status).toBe(201)
  const { rows } = await app.db.query('select * from phone_numbers where id = $1', [answer.phone_number.id])
  expect(rows[0]).toMatchObject({
    user_id: user.id,
    status: 'qr_ready',
    server_instance: expect.stringMatching(/^sandbox-[12]$/),
    instance_name: expect.stringMatching(new RegExp(`^user_${user.id}_`)),
    engine_generation: 1,
    phone_number: null,
    first_connected_at: null,
    token: expect.stringMatching(/^wst_/),
  })
  expect((await victim.get('/api/phone-numbers')).body.phone_numbers).toEqual([])
})

it('a message is its sender’s, and is charged today', async () => {
  const body = { ...EXTRA, user_id: victim.id, token: phone.token, number: '628000000003', text: 'Hi', status: 'read' }
  const { body: answer } = await user.post('/api/messages/send-text', body)
  const { rows } = await app.db.query('select * from messages where id = $1', [answer.message.id])
  expect(rows[0]).toMatchObject({ user_id: user.id, direction: 'outgoing', source: 'api', status: 'sent' })
  expect(rows[0]!.whatsapp_id).not.toBe('MINE')
  expect((await user.get('/api/dashboard')).body.dashboard.usage_today.used).toBe(1)
  expect((await victim.get('/api/dashboard')).body.dashboard.usage_today.used).toBe(0)
})
