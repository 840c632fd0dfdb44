import { startProxy } from './support/database-proxy.js'
import { OwnPostgres } from './support/own-postgres.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let postgres: OwnPostgres
let proxy: Awaited<ReturnType<typeof startProxy>>
let app: TestApp
let user: TestUser
let phone: ConnectedNumber

beforeAll(async () => {
  proxy = await startProxy()
  postgres = await OwnPostgres.start({ fsync: 'off' })
  proxy.pointTo(postgres.database.port)
  app = await startTestApp({ database: { ...postgres.database, port: proxy.port } })
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(async () => {
  await app.stop()
  await proxy.close()
  await postgres.remove()
})

const send = (text: string, wait = 15) =>
  user.post(`/api/messages/send-text?wait=${wait}`, { token: phone.token, number: '628000000003', text })
const ready = () => app.api.get('/readyz')
const incoming = (id: string) => ({
  event: 'messages.upsert',
  data: {
    key: { id, remoteJid: '628111222333@s.whatsapp.net', fromMe: false },
    message: { conversation: 'During the outage' },
    messageType: 'conversation',
    messageTimestamp: 1_700_000_000,
  },
})

it('while PostgreSQL is away calls get 503 quickly, /readyz says why, and all comes back by itself', async () => {
  expect((await send('Before')).body.message.status).toBe('sent')
  phone.controls.teachRecipient('628555000222', { wait: 'slow' })
  const { body } = await user.post('/api/messages/send-text?wait=0', {
    token: phone.token,
    number: '628555000222',
    text: 'In the middle of it',
  })

  await postgres.stop()
  const [sent, received, dashboard, stranger, login] = await Promise.all([
    send('During'),
    app.engineSays(phone.engine_name, incoming('3AOUTAGE')),
    user.get('/api/dashboard'),
    app.api.get('/api/user/profile').set('x-api-key', `wsk_${'x'.repeat(43)}`),
    app.api.post('/api/auth/login').send({ email: user.email, password: user.password }),
  ])
  for (const refused of [sent, received, dashboard, stranger, login]) {
    expectRefusal(refused, 503, 'unavailable')
    expect(refused.headers['retry-after']).toBe('5')
  }
  const report = await ready()
  expect(report.status).toBe(503)
  expect(report.body).toMatchObject({
    status: 'unavailable',
    reason: 'The database does not answer.',
    checks: { database: 'unavailable' },
  })
  expect((await app.api.get('/livez')).status).toBe(200)

  await postgres.start()
  proxy.pointTo(postgres.database.port)
  await eventually(async () => (await ready()).status === 200)
  expect((await ready()).body.checks.database).toBe('ok')
  expect((await send('After')).body.message.status).toBe('sent')
  // The engine repeats what got no 200; it is stored once.
  for (let n = 0; n < 2; n++) expect((await app.engineSays(phone.engine_name, incoming('3AOUTAGE'))).status).toBe(200)
  const count = async (where: string) => (await app.db.query(`select 1 from messages where ${where}`)).rowCount
  expect(await count(`whatsapp_id = '3AOUTAGE'`)).toBe(1)
  expect(await count(`content->>'text' = 'During'`)).toBe(0)
  // The answer of the engine came while nobody could write it down; it was kept and written afterwards.
  await eventually(
    async () => (await count(`id = ${body.message.id} and status in ('sent', 'delivered', 'read')`)) === 1,
  )
  expect(phone.controls.ledger.count(phone.engine_name, '628555000222', 'In the middle of it')).toBe(1)
}, 60_000)
