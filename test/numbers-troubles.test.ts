import { WEBHOOK_EVENTS } from '../src/clients/evolution.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({
    env: { ENGINE_CONTROL_TIMEOUT_SECONDS: '1', ENGINE_SEND_TIMEOUT_SECONDS: '5' },
    sandbox: { hang_seconds: 2 },
  })
})
beforeEach(async () => {
  user = await app.createUser({ plan_type: 'enterprise' })
})
afterEach(async () => {
  for (const { controls } of app.sandboxes) controls.clearTroubles()
  await app.crew.monitor.checkAll()
})
afterAll(() => app.stop())

const statusOf = async (id: number) => (await user.get(`/api/phone-numbers/${id}/status`)).body.phone_number
const create = () => user.post('/api/phone-numbers/create', { display_name: 'Shop' })
const eventsOf = async (id: number, type: string) =>
  (await user.get(`/api/events?types=${type}&limit=100`)).body.events
    .filter((event: { phone_number: { id: number } }) => event.phone_number.id === id)
    .map((event: { data: Record<string, unknown> }) => event.data)
const lookNow = async (id: number) => {
  await app.db.query('update connection_checks set check_at = now() where phone_number_id = $1', [id])
  return app.crew.reconciler.runOnce(60)
}
const instancesOf = ({ instance_name }: { instance_name: string }) =>
  app.sandboxes.flatMap(({ controls }) => controls.instances()).filter(({ name }) => name.startsWith(instance_name))
const requestsOf = (phone: ConnectedNumber, path: string) =>
  phone.controls.requests({ path: `${path}/${phone.engine_name}` }).requests.length

it('no QR: it is waited for, and nothing is left of the tries', async () => {
  for (const { controls } of app.sandboxes) controls.setTroubles({ no_qr: true })
  const { body } = await create()
  expect(await statusOf(body.phone_number.id)).toMatchObject({ status: 'connecting' })
  await user.delete(`/api/phone-numbers/${body.phone_number.id}`)
  await eventually(() => Promise.resolve(instancesOf(body.phone_number).length === 0))
})

it('QR limit: disconnected with advice, told once', async () => {
  for (const { controls } of app.sandboxes) controls.setTroubles({ qr_limit: true })
  const { id } = (await create()).body.phone_number
  await eventually(async () => (await statusOf(id)).status_reason === 'qr_expired')
  expect((await statusOf(id)).advice).toContain('Scan')
  expect(await eventsOf(id, 'phone_number.disconnected')).toMatchObject([{ reason: 'qr_expired' }])
})

it('endless connecting: told once after the grace, no socket is added, and it comes back by itself', async () => {
  const phone = await app.connectedNumber(user)
  const before = requestsOf(phone, '/instance/connect')
  phone.controls.setTroubles({ endless_connecting: true }, phone.engine_name)
  await eventually(async () => (await statusOf(phone.id)).problem === 'reconnecting')
  await app.crew.reconciler.runOnce(0)
  expect(await statusOf(phone.id)).toMatchObject({ status: 'disconnected', status_reason: 'reconnecting' })
  for (let n = 0; n < 3; n++) await lookNow(phone.id)
  await user.get(`/api/phone-numbers/${phone.id}/qr?wait=0`)
  await user.post(`/api/phone-numbers/${phone.id}/reconnect`)
  expect(requestsOf(phone, '/instance/connect')).toBe(before)
  expect(requestsOf(phone, '/instance/restart')).toBe(0)
  const queued = await user.post('/api/messages/send-text?wait=0', {
    token: phone.token,
    number: '628000000003',
    text: 'x',
  })
  expect(queued.body.message.status).toBe('queued')

  phone.controls.clearTroubles(phone.engine_name)
  await eventually(async () => (await statusOf(phone.id)).status === 'connected')
  await eventually(async () => {
    const { status } = (await user.get(`/api/messages/${queued.body.message.id}`)).body.message
    return ['sent', 'delivered', 'read'].includes(status)
  })
  expect(await eventsOf(phone.id, 'phone_number.disconnected')).toHaveLength(1)
  expect(await eventsOf(phone.id, 'phone_number.connected')).toHaveLength(2)
})

it('"connecting" repeated after "open", as after an outage of ours: the engine is asked, and nobody is alarmed', async () => {
  const phone = await app.connectedNumber(user)
  await app.engineSays(phone.engine_name, { event: 'connection.update', data: { state: 'connecting' } })
  expect(await statusOf(phone.id)).toMatchObject({ status: 'connected', problem: 'reconnecting' })
  await app.crew.reconciler.runOnce(0)
  expect(await statusOf(phone.id)).toMatchObject({ status: 'connected', problem: null })
  expect(await eventsOf(phone.id, 'phone_number.disconnected')).toEqual([])
})

it('coming and going: one word about it instead of one each time', async () => {
  const phone = await app.connectedNumber(user)
  const say = (state: string, n: number) =>
    app.engineSays(phone.engine_name, { event: 'connection.update', data: { state, statusReason: 200 }, n })
  for (let n = 0; n < 8; n++) {
    await say('connecting', n)
    await say('open', n)
  }
  expect(await eventsOf(phone.id, 'phone_number.degraded')).toMatchObject([{ reason: 'unstable', drops: 5 }])
  phone.controls.setTroubles({ endless_connecting: true }, phone.engine_name)
  await eventually(async () => {
    await app.crew.reconciler.runOnce(0)
    expect(await statusOf(phone.id)).toMatchObject({ status: 'disconnected', status_reason: 'reconnecting' })
  })
  phone.controls.clearTroubles(phone.engine_name)
  await eventually(async () => {
    expect(await statusOf(phone.id)).toMatchObject({ status: 'connected', problem: 'unstable' })
  })
  expect(await eventsOf(phone.id, 'phone_number.disconnected')).toEqual([])
  expect(await eventsOf(phone.id, 'phone_number.connected')).toHaveLength(1)
  await app.db.query(`update phone_numbers set dropped_at = now() - interval '11 minutes' where id = $1`, [phone.id])
  await app.crew.reconciler.runOnce()
  expect(await statusOf(phone.id)).toMatchObject({ status: 'connected', problem: null })
  expect(await eventsOf(phone.id, 'phone_number.connected')).toHaveLength(1)
})

/** One failure may be that of a moment. */
const failsAgain = (id: number) =>
  eventually(async () => {
    await app.db.query('update lanes set due_at = now() where phone_number_id = $1', [id])
    await app.ctx.lanes.runDue()
    return (await app.db.query('select 1 from lanes where phone_number_id = $1 and failures > 1', [id])).rowCount === 1
  })

it('Connection Closed while open: one restart, the queue flows again, one event says so', async () => {
  const phone = await app.connectedNumber(user)
  phone.controls.setTroubles({ connection_closed: 'until_restart' }, phone.engine_name)
  const sent = await user.post('/api/messages/send-text?wait=1', {
    token: phone.token,
    number: '628000000003',
    text: 'Hi',
  })
  expect(sent.body.message.status).toBe('queued')
  await failsAgain(phone.id)
  await app.crew.reconciler.runOnce()
  expect(requestsOf(phone, '/instance/restart')).toBe(1)
  await eventually(async () => {
    const { status } = (await user.get(`/api/messages/${sent.body.message.id}`)).body.message
    return ['sent', 'delivered', 'read'].includes(status)
  })
  expect(phone.controls.ledger.count(phone.engine_name, '628000000003', 'Hi')).toBe(1)
  expect(await eventsOf(phone.id, 'phone_number.degraded')).toMatchObject([{ reason: 'connection_closed' }])
  await lookNow(phone.id)
  expect(await statusOf(phone.id)).toMatchObject({ status: 'connected', problem: null })
})

it('Connection Closed that a restart does not cure: tried ever more rarely', async () => {
  const phone = await app.connectedNumber(user)
  phone.controls.setTroubles({ connection_closed: true }, phone.engine_name)
  await user.post('/api/messages/send-text?wait=1', { token: phone.token, number: '628000000003', text: 'Hi' })
  await failsAgain(phone.id)
  await app.crew.reconciler.runOnce()
  await eventually(() => Promise.resolve(phone.controls.instance(phone.engine_name).state === 'open'))
  const lookAfterFailure = async (seconds: number) => {
    await app.db.query(
      `update lanes set blocked_since = now(), blocked_reason = 'number_disconnected', failures = 2,
              due_at = now() + interval '1 day' where phone_number_id = $1`,
      [phone.id],
    )
    await app.crew.reconciler.runOnce(60, new Date(Date.now() + seconds * 1000))
  }
  for (let n = 1; n <= 20; n++) await lookAfterFailure(n * 31)
  expect(requestsOf(phone, '/instance/restart')).toBeLessThan(5)
  // The engine's word of its last restart may come late, and counts as cured until a send fails again.
  await eventually(async () => {
    await lookAfterFailure(20 * 31)
    expect(await statusOf(phone.id)).toMatchObject({
      status: 'connected',
      problem: 'connection_closed',
      advice: expect.stringContaining('logout'),
    })
  })
  expect(await eventsOf(phone.id, 'phone_number.degraded')).toHaveLength(1)
})

it('a zombie: silent for much longer than usual, restarted once, and messages come again', async () => {
  const phone = await app.connectedNumber(user)
  const received = async () => (await eventsOf(phone.id, 'message.received')).length
  phone.controls.incoming(phone.engine_name, { chat: '628111111111', text: 'before' })
  await eventually(async () => (await received()) === 1)
  phone.controls.setTroubles({ zombie: 'until_restart' }, phone.engine_name)
  await app.db.query('update message_stats set messages_received = 500 where phone_number_id = $1', [phone.id])
  await app.db.query(
    `update phone_numbers set last_received_at = now() - interval '9 hours', status_changed_at = now() - interval '2 days'
      where id = $1`,
    [phone.id],
  )
  await app.crew.reconciler.suspect()
  await app.crew.reconciler.runOnce()
  expect(requestsOf(phone, '/instance/restart')).toBe(1)
  expect(await eventsOf(phone.id, 'phone_number.degraded')).toMatchObject([{ reason: 'silent' }])
  await eventually(() => Promise.resolve(phone.controls.instance(phone.engine_name).state === 'open'))
  phone.controls.incoming(phone.engine_name, { chat: '628111111111', text: 'after' })
  await eventually(async () => (await received()) === 2)
  await app.crew.reconciler.suspect()
  await lookNow(phone.id)
  expect(requestsOf(phone, '/instance/restart')).toBe(1)
})

it('slow create and a create that times out but happened: no orphan, and no number that is not there', async () => {
  for (const { controls } of app.sandboxes) controls.setTroubles({ slow_create_ms: 500 })
  expect((await create()).status).toBe(201)
  for (const { controls } of app.sandboxes) controls.setTroubles({ create_times_out: true })
  const looked = await create() // it is looked for after the time-out, and found
  expect(looked.status).toBe(201)
  for (const { controls } of app.sandboxes) controls.setTroubles({ create_times_out: true, slow_create_ms: 1_500 })
  const before = (await user.get('/api/phone-numbers')).body.phone_numbers.length
  expectRefusal(await create(), 503, 'unavailable')
  expect((await user.get('/api/phone-numbers')).body.phone_numbers).toHaveLength(before)
  // What comes into being after the first look is found by a later one.
  const { rows } = await app.db.query<{ engine_name: string }>(
    'select engine_name from instance_removals where watch_until is not null',
  )
  expect(rows).toHaveLength(1)
  const late = rows[0]!.engine_name
  const all = () => app.sandboxes.flatMap(({ controls }) => controls.instances().map(({ name }) => name))
  await eventually(() => Promise.resolve(all().includes(late)))
  await eventually(async () => {
    await app.db.query('update instance_removals set due_at = now()')
    await app.crew.remover.runDue()
    return !all().includes(late)
  })
  await app.db.query(`update instance_removals set due_at = now(), watch_until = now() - interval '1 second'`)
  await app.crew.remover.runDue()
  expect((await app.db.query('select 1 from instance_removals')).rowCount).toBe(0)
})

it('an instance the engine has forgotten: asked for several times, then its user must link again', async () => {
  const phone = await app.connectedNumber(user)
  await fetch(
    `${app.sandboxes.find((one) => one.controls === phone.controls)!.url}/instance/delete/${phone.engine_name}`,
    {
      method: 'DELETE',
      headers: { apikey: 'engine-key-of-the-test-pool-0123456789' },
    },
  )
  await eventually(() => Promise.resolve(instancesOf(phone).length === 0))
  await app.db.query(`update phone_numbers set status = 'connected', status_reason = null where id = $1`, [phone.id])
  for (let n = 0; n < 3; n++) await lookNow(phone.id)
  expect((await statusOf(phone.id)).status).toBe('connected')
  await lookNow(phone.id)
  expect(await statusOf(phone.id)).toMatchObject({ status: 'disconnected', status_reason: 'instance_lost' })
  expect((await user.get(`/api/phone-numbers/${phone.id}/qr`)).body.phone_number.status).toBe('qr_ready')
})

it('an engine that has just started and does not know its instances yet: no session is given up', async () => {
  const phone = await app.connectedNumber(user)
  const waiting = (await create()).body.phone_number
  for (const { controls } of app.sandboxes) controls.setTroubles({ loading: true })
  for (let n = 0; n < 9; n++) await lookNow(phone.id)
  expect(await statusOf(phone.id)).toMatchObject({ status: 'connected' })
  await app.db.query(`update phone_numbers set status = 'disconnected', status_reason = 'qr_expired' where id = $1`, [
    waiting.id,
  ])
  expectRefusal(await user.get(`/api/phone-numbers/${waiting.id}/qr`), 503, 'unavailable')
  for (const { controls } of app.sandboxes) controls.clearTroubles()
  await lookNow(phone.id)
  expect(await statusOf(phone.id)).toMatchObject({ status: 'connected', problem: null })
  expect(await eventsOf(phone.id, 'phone_number.disconnected')).toEqual([])
  expect((await user.get(`/api/phone-numbers/${waiting.id}/qr`)).status).toBe(200)
  expect(instancesOf(waiting)).toHaveLength(1)
})

it('a webhook that somebody changed on the engine is set again, and all of them when our address moves', async () => {
  const phone = await app.connectedNumber(user)
  const { url } = app.sandboxes.find((one) => one.controls === phone.controls)!
  const set = async (webhook: object) => {
    const answer = await fetch(`${url}/webhook/set/${phone.engine_name}`, {
      method: 'POST',
      headers: { apikey: 'engine-key-of-the-test-pool-0123456789', 'content-type': 'application/json' },
      body: JSON.stringify({ webhook }),
    })
    expect(answer.status).toBe(201)
    await app.db.query(
      `update connection_checks set settings_at = now() - interval '2 hours' where phone_number_id = $1`,
      [phone.id],
    )
    await lookNow(phone.id)
  }
  const webhook = { enabled: true, url: 'http://127.0.0.1:9/elsewhere', events: ['MESSAGES_UPSERT'] }
  await set({ ...webhook, headers: {}, byEvents: false, base64: false })
  expect(phone.controls.instance(phone.engine_name).webhook_url).toContain('/internal/evolution/')

  const ours = { ...app.ctx.instances.webhookOf(phone.engine_name), enabled: true, events: [...WEBHOOK_EVENTS] }
  for (const odd of [{ byEvents: true }, { base64: true }]) {
    phone.controls.clearRequests()
    await set({ ...ours, byEvents: false, base64: false, ...odd })
    expect(requestsOf(phone, '/webhook/set')).toBe(2)
  }

  phone.controls.clearRequests()
  await app.db.query(
    `update connection_checks set applied = 'another address', check_at = now() where phone_number_id = $1`,
    [phone.id],
  )
  await app.crew.reconciler.runOnce()
  await eventually(() =>
    Promise.resolve(phone.controls.requests({ path: `/webhook/set/${phone.engine_name}` }).requests.length > 0),
  )
})
