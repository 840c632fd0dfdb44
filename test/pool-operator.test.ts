import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { ENGINE_KEY, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let admin: ReturnType<typeof operatorOf>
beforeEach(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY, ENGINE_CONTROL_TIMEOUT_SECONDS: '3' } })
  admin = operatorOf(app.url)
  user = await app.createUser({ plan_type: 'enterprise' })
})
afterEach(() => app.stop())

const server = async (name: string) => (await admin.get(`/servers/${name}`)).body.server
const create = () => user.post('/api/phone-numbers/create', { display_name: 'Shop' })

it('answers no_capacity instead of filling a server up', async () => {
  for (const name of ['sandbox-1', 'sandbox-2'])
    expect((await admin.patch(`/servers/${name}`, { capacity: 2 })).status).toBe(200)
  const answers = await Promise.all(Array.from({ length: 8 }, create))
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 201, 503, 503, 503, 503])
  expectRefusal(
    answers.find(({ status }) => status === 503)!,
    503,
    'no_capacity',
  )
  expect(await server('sandbox-1')).toMatchObject({ takes_numbers: false, phone_numbers: { placed: 2 } })
  const [first] = answers.filter(({ status }) => status === 201)
  await app.ctx.changes.park(first!.body.phone_number.id, 'qr_expired') // a parked number takes no place
  expect((await create()).status).toBe(201)
  expectRefusal(await user.get(`/api/phone-numbers/${first!.body.phone_number.id}/qr`), 503, 'no_capacity')
  expect((await admin.patch('/servers/sandbox-1', { capacity: null, memory_mb: 400 })).body.server.capacity).toBe(6)
  expect((await user.get(`/api/phone-numbers/${first!.body.phone_number.id}/qr`)).body.phone_number.status).toBe(
    'qr_ready',
  )
})

it.each([
  ['capacity 0', { capacity: 0 }],
  ['a negative capacity', { capacity: -3 }],
  ['no change', {}],
  ['an unknown state', { state: 'gone' }],
  ['a field that is none', { listed: true }],
])('refuses %s', async (_what, body) => {
  expectRefusal(await admin.patch('/servers/sandbox-1', body), 400, 'invalid_request')
  expect(await server('sandbox-1')).toMatchObject({ capacity: 116, state: 'active' })
})

it('adds only what answers as an Evolution server of ours that it does not have yet', async () => {
  const something = createServer((_req, res) => res.writeHead(200).end('{"hello":"world"}'))
  await new Promise<void>((resolve) => something.listen(0, '127.0.0.1', resolve))
  const { port } = something.address() as AddressInfo
  const third = await app.startSandbox('sandbox-3')
  third.controls.setTroubles({ wrong_key: true })
  for (const body of [
    { name: 'x', url: `http://127.0.0.1:${port}` },
    { name: 'x', url: 'http://127.0.0.1:9' },
    { name: 'x', url: third.url },
    { name: 'x', url: 'ftp://x' },
    { name: 'no name!', url: third.url },
    { name: 'x' },
  ])
    expectRefusal(await admin.post('/servers', body), 400, 'invalid_request')
  something.close()
  third.controls.clearTroubles()
  expectRefusal(await admin.post('/servers', { name: 'twin', url: app.sandboxes[0]!.url }), 409, 'conflict')
  expectRefusal(await admin.post('/servers', { name: 'sandbox-1', url: third.url }), 409, 'conflict')
  expect((await admin.post('/servers', { name: 'third', url: `${third.url}/` })).status).toBe(201)
  expect((await admin.get('/servers')).body.servers).toHaveLength(3)
  for (const name of ['nobody', 'a%2Fb']) expectRefusal(await admin.get(`/servers/${name}`), 404, 'not_found')

  expect((await admin.delete('/servers/third')).status).toBe(200)
  expectRefusal(await admin.delete('/servers/sandbox-1'), 409, 'conflict') // stands in the setting
  expect((await admin.post('/servers', { name: 'third', url: third.url })).status).toBe(201)
})

it('does not evacuate the last server, nor one that is well without being told twice', async () => {
  const phone = await app.connectedNumber(user)
  const [own, other] =
    phone.controls === app.sandboxes[0]!.controls ? ['sandbox-1', 'sandbox-2'] : ['sandbox-2', 'sandbox-1']
  await admin.patch(`/servers/${other}`, { state: 'draining' })
  expectRefusal(await admin.post(`/servers/${own}/evacuate`, { force: true }), 409, 'conflict')
  await admin.patch(`/servers/${other}`, { state: 'active' })
  expectRefusal(await admin.post(`/servers/${own}/evacuate`), 409, 'conflict')
  expectRefusal(await admin.post('/servers/nobody/evacuate'), 404, 'not_found')
  expect((await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number.status).toBe('connected')
  expect((await admin.post(`/servers/${own}/evacuate`, { force: true })).body.evacuated).toEqual({
    moved: 1,
    to_relink: 1,
  })
  expectRefusal(await admin.delete(`/servers/${other}`), 409, 'conflict')
})

it('disables a server: sends to it wait until it is enabled again', async () => {
  const phone = await app.connectedNumber(user)
  const own = app.sandboxes.find(({ controls }) => controls === phone.controls)!.name
  await admin.patch(`/servers/${own}`, { state: 'disabled' })
  const { message } = (
    await user.post('/api/messages/send-text?wait=1', { token: phone.token, number: '628000000003', text: 'Hi' })
  ).body
  const statusNow = async () => (await user.get(`/api/messages/${message.id}`)).body.message.status
  await eventually(async () => (await statusNow()) === 'queued')
  expect(phone.controls.ledger.count(phone.engine_name, '628000000003', 'Hi')).toBe(0)
  await app.crew.monitor.checkAll()
  await admin.patch(`/servers/${own}`, { state: 'active' })
  await app.crew.monitor.checkAll()
  await eventually(async () => ['sent', 'delivered', 'read'].includes(await statusNow()))
})

it.each([
  ['down', { refuse: 'close' }, 'unreachable'],
  ['behind a proxy that answers 503', { refuse: '503' }, 'unreachable'],
  ['refusing our key', { wrong_key: true }, 'key_refused'],
  ['without a licence', { licence_required: true }, 'licence_needed'],
] as const)('tells that a server is %s, and places nothing there', async (_what, trouble, code) => {
  app.sandboxes[0]!.controls.setTroubles(trouble)
  await app.crew.monitor.checkAll()
  expect(await server('sandbox-1')).toMatchObject({ healthy: false, takes_numbers: false, problem: { code } })
  for (let n = 0; n < 3; n++) expect((await create()).status).toBe(201)
  expect((await server('sandbox-2')).phone_numbers.placed).toBe(3)
})

it('flags two servers that share one client name, and gives neither a number', async () => {
  // A round of its own may just be asking the servers what their true names are.
  await eventually(async () => {
    await app.db.query(`update servers set client_name = 'same', version_at = now(), compared_at = now()`)
    await app.db.query(`update servers set version_at = null where name = 'sandbox-1'`)
    await app.db.query(`update servers set client_name = 'sandbox-1' where name = 'sandbox-2'`)
    await app.crew.inspector.runOnce()
    const flags = [await server('sandbox-1'), await server('sandbox-2')].map((one) => one.duplicate_client_name)
    return flags.join() === 'sandbox-2,sandbox-1'
  })
  expectRefusal(await create(), 503, 'no_capacity')
})

it('keeps the numbers of a server that left the setting, and gives it no new ones', async () => {
  const phone = await app.connectedNumber(user)
  const [mine, other] = phone.controls === app.sandboxes[0]!.controls ? [0, 1] : [1, 0]
  const replica = await app.startReplica({
    EVOLUTION_SERVERS: `${app.sandboxes[other]!.name}=${app.sandboxes[other]!.url}`,
  })
  expect(await server(app.sandboxes[mine]!.name)).toMatchObject({
    listed: false,
    takes_numbers: false,
    phone_numbers: { placed: 1 },
  })
  const { body } = await app
    .as(user, replica)
    .post('/api/messages/send-text', { token: phone.token, number: '628000000003', text: 'Hi' })
  expect(body.message.status).toBe('sent')
})

it('adopts nothing by itself, and chosen running instances without a new scan', async () => {
  const { url, controls } = app.sandboxes[0]!
  const engine = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { ...init, headers: { apikey: ENGINE_KEY, 'content-type': 'application/json' } })
  for (const instanceName of ['old shop.1', 'cashier_g3', 'not mine']) {
    await engine('/instance/create', {
      method: 'POST',
      body: JSON.stringify({ instanceName, integration: 'WHATSAPP-BAILEYS', qrcode: false, groupsIgnore: false }),
    })
    await engine(`/instance/connect/${encodeURIComponent(instanceName)}`)
    controls.scan(instanceName, { phone: `62811${instanceName.length}00000`, name: `Owner of ${instanceName}` })
    await eventually(() => Promise.resolve(controls.instance(instanceName).state === 'open'))
  }
  await app.db.query('update servers set compared_at = null')
  await app.crew.inspector.runOnce()
  expect(await server('sandbox-1')).toMatchObject({ foreign_instances: 3, pending_removals: 0 })
  const { instances } = (await admin.get('/servers/sandbox-1/instances')).body
  expect(instances.map((one: { instance_name: string }) => one.instance_name).sort()).toEqual([
    'cashier_g3',
    'not mine',
    'old shop.1',
  ])

  const adopt = (body: object) => admin.post('/servers/sandbox-1/import', body)
  expectRefusal(await adopt({ user_id: user.id, instances: ['old shop.1', 'unknown'] }), 400, 'invalid_request')
  expectRefusal(await adopt({ user_id: 999_999, instances: ['old shop.1'] }), 404, 'not_found')
  const { status, body } = await adopt({ user_id: user.id, instances: ['old shop.1', 'cashier_g3'] })
  expect(status).toBe(201)
  expect(body.phone_numbers).toMatchObject([
    {
      instance_name: 'old shop.1',
      status: 'connected',
      phone_number: '628111000000',
      display_name: 'Owner of old shop.1',
      receive_groups: true,
    },
    { instance_name: 'cashier_g3', status: 'connected' },
  ])
  expectRefusal(await adopt({ user_id: user.id, instances: ['cashier_g3'] }), 400, 'invalid_request')

  for (const phone of body.phone_numbers) {
    const sent = await user.post('/api/messages/send-text', {
      token: phone.token,
      number: '628000000001',
      text: 'Hello',
    })
    expect(sent.body.message.status).toBe('sent')
  }
  await eventually(async () => (await user.get('/api/events?types=message.received')).body.events.length === 2)
  const [first] = body.phone_numbers
  await user.post(`/api/phone-numbers/${first.id}/logout`)
  expect((await user.get(`/api/phone-numbers/${first.id}/qr`)).body.phone_number.status).toBe('qr_ready')
  await eventually(async () => {
    await app.db.query('update instance_removals set due_at = now()')
    await app.crew.remover.runDue()
    return !controls.instances().some(({ name }) => name === 'old shop.1')
  })
  expect(controls.instances().map(({ name }) => name)).toContain('not mine')
})

it('fills no server beyond its capacity, whoever asks at once', async () => {
  for (const name of ['sandbox-1', 'sandbox-2'])
    expect((await admin.patch(`/servers/${name}`, { capacity: 2 })).status).toBe(200)
  const users = await Promise.all(Array.from({ length: 8 }, () => app.createUser()))
  const answers = await Promise.all(
    users.map((one) => one.post('/api/phone-numbers/create', { display_name: 'Shop' }).then((answer) => answer)),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 201, 503, 503, 503, 503])
  for (const name of ['sandbox-1', 'sandbox-2']) expect((await server(name)).phone_numbers.placed).toBe(2)
})

it('lets go of all it has adopted when the engine refuses one of them', async () => {
  const stubborn = createServer((req, res) => {
    const found = ['one', 'two'].map((name) => ({ name, connectionStatus: 'open' }))
    if (req.url?.startsWith('/instance/fetchInstances'))
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(found))
    else if (req.url?.endsWith('/two')) res.writeHead(400).end()
    else res.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  await new Promise<void>((resolve) => stubborn.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(stubborn.address() as AddressInfo).port}`
  await app.db.query(`insert into servers (name, url, source) values ('stubborn', $1, 'admin')`, [url])
  app.ctx.pool.set('stubborn', url)
  try {
    const instances = ['one', 'two']
    expectRefusal(await admin.post('/servers/stubborn/import', { user_id: user.id, instances }), 503, 'unavailable')
    expect((await user.get('/api/phone-numbers')).body.phone_numbers).toEqual([])
  } finally {
    stubborn.closeAllConnections()
    stubborn.close()
  }
})

it('adopts no more than the plan of the user has room for beside what there is', async () => {
  await admin.patch(`/users/${user.id}`, { max_phone_numbers: 2 })
  for (let n = 0; n < 2; n++) expect((await create()).status).toBe(201)
  const { url } = app.sandboxes[0]!
  await fetch(`${url}/instance/create`, {
    method: 'POST',
    headers: { apikey: ENGINE_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ instanceName: 'one too many', integration: 'WHATSAPP-BAILEYS', qrcode: false }),
  })
  const body = { user_id: user.id, instances: ['one too many'] }
  expectRefusal(await admin.post('/servers/sandbox-1/import', body), 403, 'plan_limit_reached')
})
