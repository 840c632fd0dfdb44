import { SandboxDatabase, startSandbox } from '../src/sandbox/server.js'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { ENGINE_KEY, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

/* What must not happen to a number, its session or its socket, whatever comes together. */

let app: TestApp
let user: TestUser
let admin: ReturnType<typeof operatorOf>
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY, UNLINKED_INSTANCE_MINUTES: '60' } })
  admin = operatorOf(app.url)
})
beforeEach(async () => {
  user = await app.createUser({ plan_type: 'enterprise' })
})
afterEach(() => {
  for (const { controls } of app.sandboxes) controls.clearTroubles()
})
afterAll(() => app.stop())

const create = async () => (await user.post('/api/phone-numbers/create', { display_name: 'Shop' })).body.phone_number
const statusOf = async (id: number) => (await user.get(`/api/phone-numbers/${id}/status`)).body.phone_number
const instances = () => app.sandboxes.flatMap(({ controls }) => controls.instances().map(({ name }) => name))
const removeAll = async () => {
  for (let round = 0; round < 3; round++) {
    await app.db.query('update instance_removals set due_at = now()')
    await app.crew.remover.runDue()
  }
}
const reasonsTold = async (id: number) => {
  const { rows } = await app.db.query<{ reason: string }>(
    `select payload->'data'->>'reason' as reason from events
      where phone_number_id = $1 and type = 'phone_number.disconnected' order by position`,
    [id],
  )
  return rows.map(({ reason }) => reason)
}

describe('a number nobody links', () => {
  it('keeps the reason why it is not linked', async () => {
    const phone = await app.connectedNumber(user)
    await app.db.query(`update phone_numbers set link_asked_at = now() - interval '30 days' where id = $1`, [phone.id])
    phone.controls.disconnect(phone.engine_name, 401)
    await eventually(async () => (await statusOf(phone.id)).status_reason === 'logged_out')
    await app.crew.reconciler.parkUnlinked()
    await removeAll()
    expect(instances()).not.toContain(phone.engine_name)
    expect((await statusOf(phone.id)).status_reason).toBe('logged_out')
    expect(await reasonsTold(phone.id)).toEqual(['logged_out'])
  })

  it('is not unlinked when a phone has scanned while we heard nothing', async () => {
    const { id, instance_name } = await create()
    const name = `${instance_name}_g1`
    const { controls, url } = app.sandboxOf(name)
    await engine(url, 'POST', `/webhook/set/${name}`, {
      webhook: { enabled: false, url: 'http://127.0.0.1:9', events: [] },
    })
    controls.scan(name)
    await eventually(() => Promise.resolve(controls.instance(name).state === 'open'))
    await app.db.query(`update phone_numbers set link_asked_at = now() - interval '61 minutes' where id = $1`, [id])
    await app.crew.reconciler.parkUnlinked()
    await removeAll()
    expect([instances().includes(name), (await statusOf(id)).status]).toEqual([true, 'connected'])
  })

  it('stays where it is while its server does not answer', async () => {
    const { id, instance_name } = await create()
    const { controls } = app.sandboxOf(`${instance_name}_g1`)
    await app.db.query(`update phone_numbers set link_asked_at = now() - interval '61 minutes' where id = $1`, [id])
    controls.setTroubles({ refuse: '503' })
    await app.crew.reconciler.parkUnlinked()
    expect((await statusOf(id)).status).toBe('qr_ready')
    controls.clearTroubles()
    await app.crew.reconciler.parkUnlinked()
    expect(await statusOf(id)).toMatchObject({ status: 'disconnected', status_reason: 'qr_expired' })
  })
})

it('nothing opens again on a session that is over, whatever comes late', async () => {
  const phone = await app.connectedNumber(user)
  phone.controls.disconnect(phone.engine_name, 401)
  await eventually(async () => (await statusOf(phone.id)).status_reason === 'logged_out')
  await app.engineSays(phone.engine_name, {
    event: 'connection.update',
    data: { state: 'open', statusReason: 200, late: 1 },
  })
  const qrcode = { base64: 'data:image/png;base64,LATE', code: 'late', pairingCode: null }
  await app.engineSays(phone.engine_name, { event: 'qrcode.updated', data: { qrcode } })
  expect(await statusOf(phone.id)).toMatchObject({ status: 'disconnected', status_reason: 'logged_out' })
})

it('a session that is over is not opened again by a restart', async () => {
  const phone = await app.connectedNumber(user)
  phone.controls.disconnect(phone.engine_name, 401)
  await eventually(async () => (await statusOf(phone.id)).status_reason === 'logged_out')
  expectRefusal(await user.post(`/api/phone-numbers/${phone.id}/restart`), 409, 'conflict')
})

describe('one socket', () => {
  it.each(['qr_ready', 'disconnected'])(
    'is opened while WhatsApp is away, however often it is asked (%s)',
    async (status) => {
      const { id, instance_name } = await create()
      const name = `${instance_name}_g1`
      const { controls } = app.sandboxOf(name)
      if (status === 'disconnected')
        await app.engineSays(name, { event: 'connection.update', data: { state: 'refused', statusReason: 428 } })
      controls.setTroubles({ endless_connecting: true }, name)
      await app.db.query(
        `update phone_numbers set qr_expires_at = now() - interval '40 seconds' where id = $1 and qr_code is not null`,
        [id],
      )
      const connects = () => controls.requests({ path: `/instance/connect/${name}` }).requests.length
      const before = connects()
      // The engine's socket opens and closes 19 times a second meanwhile.
      for (let n = 0; n < 150; n++) await user.get(`/api/phone-numbers/${id}/qr?wait=0`)
      expect(connects() - before).toBeLessThanOrEqual(1)
    },
  )

  it('is opened by several who reconnect at once', async () => {
    const phone = await app.connectedNumber(user)
    phone.controls.disconnect(phone.engine_name, 403)
    await eventually(async () => (await statusOf(phone.id)).status === 'disconnected')
    await app.db.query(
      `update phone_numbers set status_reason = 'reconnecting', last_event_at = now() - interval '5 minutes' where id = $1`,
      [phone.id],
    )
    const connects = () => phone.controls.requests({ path: `/instance/connect/${phone.engine_name}` }).requests.length
    const before = connects()
    await Promise.all([1, 2, 3].map(() => user.post(`/api/phone-numbers/${phone.id}/reconnect`)))
    expect(connects() - before).toBe(1)
  })
})

it('a number that was parked while its instance was made leaves none behind', async () => {
  const { id, instance_name } = await create()
  await user.post(`/api/phone-numbers/${id}/logout`)
  for (const { controls } of app.sandboxes) controls.setTroubles({ slow_create_ms: 1_000 })
  const asking = user.get(`/api/phone-numbers/${id}/qr?wait=0`).then((answer) => answer.status)
  await eventually(async () => {
    const { rows } = await app.db.query('select 1 from phone_numbers where id = $1 and parked_at is null', [id])
    return rows.length === 1
  })
  await user.post(`/api/phone-numbers/${id}/logout`)
  await removeAll()
  await asking
  await removeAll()
  expect(instances().filter((name) => name.startsWith(instance_name as string))).toEqual([])
})

it('deleted numbers do not keep the reconciler from those that live', async () => {
  const phone = await app.connectedNumber(user)
  await app.db.query(
    `with dead as (
       insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, deleted_at)
       select $1, 'sandbox-1', 'dead_' || n, 'wst_dead_' || n, 'dead', now() from generate_series(1, 600) n returning id),
     empty as (insert into lanes (phone_number_id) select id from dead)
     insert into connection_checks (phone_number_id, check_at) select id, now() - interval '1 minute' from dead`,
    [user.id],
  )
  await app.db.query(`update connection_checks set check_at = now() where phone_number_id = $1`, [phone.id])
  await app.crew.reconciler.runOnce()
  const { rows } = await app.db.query<{ n: number }>(
    `select count(*) as n from connection_checks c join phone_numbers p on p.id = c.phone_number_id
      where c.check_at <= now() or (p.deleted_at is not null and c.check_at < 'infinity')`,
  )
  expect(rows[0]!.n).toBe(0)
})

it('a deleted number has no gap to tell', async () => {
  const phone = await app.connectedNumber(user)
  await app.db.query(
    `insert into gaps (phone_number_id, server_instance, from_at, until_at, due_at, attempts)
     select id, server_instance, now() - interval '1 hour', now(), 'infinity', 7 from phone_numbers where id = $1`,
    [phone.id],
  )
  await user.delete(`/api/phone-numbers/${phone.id}`)
  expect((await app.db.query('select 1 from gaps where phone_number_id = $1', [phone.id])).rowCount).toBe(0)
})

describe('an import', () => {
  it('takes no two that could be two lives of one number, and none twice', async () => {
    const other = await app.createUser({ plan_type: 'enterprise' })
    await foreign('shop')
    await foreign('shop_g2')
    const take = (user_id: number, names: string[]) =>
      admin.post('/servers/sandbox-1/import', { user_id, instances: names })
    for (const names of [
      ['shop', 'shop'],
      ['shop', 'shop_g2'],
    ])
      expectRefusal(await take(user.id, names), 400, 'invalid_request')
    expect((await take(user.id, ['shop_g2'])).status).toBe(201)
    expectRefusal(await take(other.id, ['shop']), 400, 'invalid_request')
  })
})

it('an import opens the socket anew where events carried files, which would be too large for us', async () => {
  const { controls, url } = app.sandboxes[0]!
  const restarts = (name: string) => controls.requests({ path: `/instance/restart/${name}` }).requests.length
  for (const [name, base64] of [
    ['with_files', true],
    ['without_files', false],
  ] as const) {
    await foreign(name)
    const webhook = { enabled: true, url: 'http://127.0.0.1:9', base64, events: ['MESSAGES_UPSERT'] }
    await engine(url, 'POST', `/webhook/set/${name}`, { webhook })
    const taken = await admin.post('/servers/sandbox-1/import', { user_id: user.id, instances: [name] })
    const { id } = taken.body.phone_numbers[0]
    await eventually(async () => (await statusOf(id)).status === 'connected')
    expect(restarts(name)).toBe(base64 ? 1 : 0)
  }
})

describe('the address of a server', () => {
  it('is not changed to that of another engine, which would give up every session', async () => {
    const common = { api_key: ENGINE_KEY, connect_wait_ms: 20, ack_delay_ms: 20 }
    const far = await Promise.all(
      ['far-1', 'far-2'].map((name) => startSandbox({ ...common, name, database: SandboxDatabase.open() })),
    )
    app.sandboxes.push(...far)
    const [first, second] = far
    expect((await admin.post('/servers', { name: 'far-1', url: first!.url })).status).toBe(201)
    for (const name of ['sandbox-1', 'sandbox-2']) await admin.patch(`/servers/${name}`, { state: 'draining' })
    await app.connectedNumber(user)
    expectRefusal(await admin.patch('/servers/far-1', { url: second!.url }), 409, 'conflict')
    expectRefusal(await admin.patch('/servers/far-1', { url: app.sandboxes[0]!.url }), 409, 'conflict')
    expect((await admin.patch('/servers/far-1', { url: first!.url })).status).toBe(200)
    for (const name of ['sandbox-1', 'sandbox-2']) await admin.patch(`/servers/${name}`, { state: 'active' })
  })
})

const engine = (url: string, method: string, path: string, body?: object) =>
  fetch(`${url}${path}`, {
    method,
    headers: { apikey: ENGINE_KEY, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  })

/** An instance that somebody made before us. */
async function foreign(name: string) {
  const { controls, url } = app.sandboxes[0]!
  await engine(url, 'POST', '/instance/create', { instanceName: name, integration: 'WHATSAPP-BAILEYS', qrcode: false })
  await engine(url, 'GET', `/instance/connect/${name}`)
  await eventually(() => Promise.resolve(controls.instance(name).qr_count > 0))
  controls.scan(name)
  await eventually(() => Promise.resolve(controls.instance(name).state === 'open'))
}
