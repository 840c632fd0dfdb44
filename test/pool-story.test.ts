import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

/** One pool with 60 numbers through everything that happens to a pool, in the order of the tests, while sends flow. */
let app: TestApp
let users: TestUser[]
let admin: ReturnType<typeof operatorOf>
const numbers: (ConnectedNumber & { user: TestUser })[] = []
const sent: { user: TestUser; id: number }[] = []

beforeAll(async () => {
  app = await startTestApp({ servers: 3, env: { ADMIN_API_KEY: ADMIN_KEY, ENGINE_CONTROL_TIMEOUT_SECONDS: '5' } })
  admin = operatorOf(app.url)
  users = [await app.createUser({ plan_type: 'enterprise' }), await app.createUser({ plan_type: 'enterprise' })]
  for (let n = 0; n < 60; n += 6)
    numbers.push(
      ...(await Promise.all(
        Array.from({ length: 6 }, async (_, i) => {
          const user = users[i % 2]!
          return { ...(await app.connectedNumber(user)), user }
        }),
      )),
    )
}, 120_000)
afterAll(() => app.stop())

const server = async (name: string) => (await admin.get(`/servers/${name}`)).body.server
const placedOn = async (name: string) =>
  (await admin.get(`/phone-numbers?server=${name}&limit=200`)).body.phone_numbers as {
    id: number
    status: string
    status_reason: string
  }[]
/** One message from every number; what becomes of them is looked at in the end. */
async function sendFromAll(text: string) {
  for (const { user, token, id } of numbers) {
    const { status, body } = await user.post('/api/messages/send-text?wait=0', {
      token,
      number: '628000000003',
      text: `${text} ${id}`,
    })
    if (status < 300) sent.push({ user, id: body.message.id })
    else expect([status, body.error.code]).toEqual([409, 'phone_number_not_connected'])
  }
}
const checkHealth = async () => {
  await app.crew.monitor.checkAll()
  await app.crew.monitor.checkAll()
}

it('starts with 20 numbers on each of three servers, and the pool says so', async () => {
  const { servers } = (await admin.get('/servers')).body
  expect(servers).toHaveLength(3)
  for (const one of servers)
    expect(one).toMatchObject({
      healthy: true,
      state: 'active',
      takes_numbers: true,
      key: 'good',
      capacity: 116,
      capacity_from: 'memory',
      phone_numbers: { placed: 20, parked: 0, connected: 20 },
    })
  await app.crew.inspector.runOnce()
  expect(await server('sandbox-1')).toMatchObject({
    version: '2.3.7',
    client_name: 'sandbox-1',
    licence: 'not_needed',
    foreign_instances: 0,
  })
  await sendFromAll('at the start')
})

it('one server killed: the others go on, nobody is told that a number is lost, and messages wait', async () => {
  await app.sandboxes[0]!.close()
  await sendFromAll('while one is down')
  await checkHealth()
  await app.crew.reconciler.runOnce(0)
  expect(await server('sandbox-1')).toMatchObject({
    healthy: false,
    takes_numbers: false,
    problem: { code: 'unreachable' },
    breaker_open: true,
    down_since: expect.any(String),
  })
  const { phone_numbers } = (await users[0]!.get('/api/phone-numbers?limit=200')).body
  expect(phone_numbers.every(({ status }: { status: string }) => status === 'connected')).toBe(true)
  const events = await app.db.query(`select 1 from events where type = 'phone_number.disconnected'`)
  expect(events.rowCount).toBe(0)
})

it('back after a minute: what waited goes out at once', async () => {
  await app.startSandbox('sandbox-1', app.sandboxes[0]!.port)
  await checkHealth()
  expect(await server('sandbox-1')).toMatchObject({
    healthy: true,
    takes_numbers: true,
    problem: null,
    breaker_open: false,
    down_since: null,
  })
  const waiting = async () =>
    (await app.db.query(`select 1 from messages where status in ('queued', 'sending')`)).rowCount
  await eventually(async () => (await waiting()) === 0, 30_000)
}, 40_000)

it('one drained: it keeps its numbers and gets no new ones', async () => {
  expect((await admin.patch('/servers/sandbox-2', { state: 'draining' })).body.server).toMatchObject({
    state: 'draining',
    takes_numbers: false,
  })
  for (let n = 0; n < 4; n++) {
    const { body } = await users[0]!.post('/api/phone-numbers/create', { display_name: 'New' })
    expect((await placedOn('sandbox-2')).map(({ id }) => id)).not.toContain(body.phone_number.id)
    await users[0]!.delete(`/api/phone-numbers/${body.phone_number.id}`)
  }
  expect(await server('sandbox-2')).toMatchObject({ healthy: true, phone_numbers: { placed: 20, connected: 20 } })
  await sendFromAll('while one drains')
})

it('one added while everything runs: it is the next to get a number', async () => {
  const { url } = await app.startSandbox('sandbox-4')
  const added = await admin.post('/servers', { name: 'sandbox-4', url, capacity: 40 })
  expect(added.body.server).toMatchObject({
    name: 'sandbox-4',
    source: 'admin',
    healthy: true,
    capacity: 40,
    capacity_from: 'setting',
  })
  const { id } = (await users[0]!.post('/api/phone-numbers/create', { display_name: 'First there' })).body.phone_number
  expect((await placedOn('sandbox-4')).map((one) => one.id)).toEqual([id])
  await users[0]!.delete(`/api/phone-numbers/${id}`)
})

it('one lost for good and evacuated: same ids and tokens elsewhere, and users are asked to link again', async () => {
  const lost = await placedOn('sandbox-3')
  const { port } = app.sandboxes[2]!
  await app.sandboxes[2]!.close()
  await checkHealth()
  const { body } = await admin.post('/servers/sandbox-3/evacuate')
  expect(body.evacuated).toEqual({ moved: 20, to_relink: 20 })
  expect((await admin.post('/servers/sandbox-3/evacuate')).body.evacuated).toEqual({ moved: 0, to_relink: 0 })
  expect(await placedOn('sandbox-3')).toEqual([])
  await sendFromAll('after the loss')

  for (const phone of numbers.filter(({ id }) => lost.some((one) => one.id === id))) {
    const status = async () => (await phone.user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
    expect(await status()).toMatchObject({
      status: 'disconnected',
      status_reason: 'server_lost',
      advice: expect.stringContaining('Scan'),
    })
    expect((await phone.user.get(`/api/phone-numbers/${phone.id}/qr`)).body.phone_number.status).toBe('qr_ready')
    const engine_name = `${phone.instance_name}_g2`
    app.sandboxOf(engine_name).controls.scan(engine_name)
    await eventually(async () => (await status()).status === 'connected')
    expect(await status()).toMatchObject({ token: phone.token })
  }
  const told = await app.db.query(
    `select 1 from events where type = 'phone_number.disconnected' and payload ->> 'data' like '%server_lost%'`,
  )
  expect(told.rowCount).toBe(20)
  await app.startSandbox('sandbox-3', port) // found again in a corner: what is on it must go
  await checkHealth()
  expect(await server('sandbox-3')).toMatchObject({ state: 'draining', takes_numbers: false, pending_removals: 20 })
}, 60_000)

it('in the end every number is connected, every message has ended once, and no engine has an orphan', async () => {
  await sendFromAll('at the end')
  for (let n = 0; n < 3; n++) {
    await app.db.query('update instance_removals set due_at = now()')
    await app.crew.remover.runDue()
  }
  await eventually(
    async () => (await app.db.query(`select 1 from messages where status in ('queued', 'sending')`)).rowCount === 0,
    30_000,
  )
  const { rows } = await app.db.query<{ engine_name: string; server: string; status: string }>(
    `select engine_name(instance_name, engine_generation), server_instance as server, status
       from phone_numbers where deleted_at is null and parked_at is null`,
  )
  expect(rows).toHaveLength(60)
  expect(rows.every(({ status }) => status === 'connected')).toBe(true)
  for (const { name, controls } of app.sandboxes) {
    const mine = rows.filter((row) => row.server === name).map((row) => row.engine_name)
    expect(
      controls
        .instances()
        .map((one) => one.name)
        .sort(),
    ).toEqual(mine.sort())
    expect(controls.instances().every(({ state }) => state === 'open')).toBe(true)
  }
  for (const { user, id } of sent) {
    const { message } = (await user.get(`/api/messages/${id}`)).body
    expect(['sent', 'delivered', 'read']).toContain(message.status)
  }
  const { servers } = (await admin.get('/servers')).body
  const placed = servers.map((one: { name: string; phone_numbers: { placed: number } }) => one.phone_numbers.placed)
  expect(placed.reduce((a: number, b: number) => a + b, 0)).toBe(60)
}, 60_000)
