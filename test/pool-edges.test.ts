import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { ENGINE_KEY, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

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
