import { ADMIN_KEY, operatorOf } from '../support/operator.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from '../support/test-app.js'

/** Promise 10: one Evolution server down, the others unaffected, its queue flows after its return, refunds happen once. */
let app: TestApp
let user: TestUser
const numbers: ConnectedNumber[] = []
const GONE_OUT = ['sent', 'delivered', 'read']

beforeAll(async () => {
  app = await startTestApp({ servers: 2, env: { ADMIN_API_KEY: ADMIN_KEY } })
  user = await app.createUser({ plan_type: 'enterprise' })
  for (let n = 0; n < 8; n++) numbers.push(await app.connectedNumber(user))
}, 60_000)
afterAll(() => app.stop())

const onDown = ({ controls }: ConnectedNumber) => controls === app.sandboxes[0]!.controls
const send = async ({ token }: ConnectedNumber, text: string, fields: object = {}) =>
  (await user.post('/api/messages/send-text?wait=0', { token, number: '628000000003', text, ...fields })).body.message
const statusOf = async (id: number) => (await user.get(`/api/messages/${id}`)).body.message.status
const used = async () => (await user.get('/api/dashboard')).body.dashboard.usage_today.used
const check = async () => {
  await app.crew.monitor.checkAll()
  await app.crew.monitor.checkAll()
}

it('others go on, what waits flows after the return, what is too old is refunded once', async () => {
  const [down, up] = [numbers.filter(onDown), numbers.filter((phone) => !onDown(phone))]
  expect([down.length, up.length]).toEqual([4, 4])
  const { port, controls } = app.sandboxes[0]!
  await app.sandboxes[0]!.close()
  await check()

  const waiting = await Promise.all(down.map((phone) => send(phone, 'waits')))
  const short = await Promise.all(down.map((phone) => send(phone, 'too late', { ttl_seconds: 10 })))
  const passing = await Promise.all(up.map((phone) => send(phone, 'passes')))
  for (const { id } of passing) await eventually(async () => GONE_OUT.includes(await statusOf(id)))
  expect(await used()).toBe(12)

  const expire = () => app.ctx.queue.expire(new Date(Date.now() + 3_600_000))
  await Promise.all([expire(), expire(), expire()])
  for (const { id } of short) expect(await statusOf(id)).toBe('expired')
  expect(await used()).toBe(8)

  await app.startSandbox('sandbox-1', port)
  await check()
  for (const { id } of waiting) await eventually(async () => GONE_OUT.includes(await statusOf(id)), 30_000)
  for (const phone of down) {
    expect(controls.ledger.count(phone.engine_name, '628000000003', 'waits')).toBe(1)
    expect(controls.ledger.count(phone.engine_name, '628000000003', 'too late')).toBe(0)
  }
  expect(await used()).toBe(8)
  const events = await app.db.query(`select 1 from events where type = 'phone_number.disconnected'`)
  expect(events.rowCount).toBe(0)
}, 60_000)

it('two operators evacuate one server at once: each number moves once', async () => {
  const admin = operatorOf(app.url)
  await app.sandboxes[0]!.close()
  await check()
  const evacuate = () => admin.post('/servers/sandbox-1/evacuate')
  const [first, second] = await Promise.all([evacuate(), evacuate()])
  expect(first.body.evacuated.moved + second.body.evacuated.moved).toBe(4)
  const { rows } = await app.db.query<{ engine_generation: number }>(
    `select engine_generation from phone_numbers where status_reason = 'server_lost'`,
  )
  expect(rows.map((row) => row.engine_generation)).toEqual([2, 2, 2, 2])
})
