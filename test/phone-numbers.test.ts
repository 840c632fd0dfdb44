import { expectRefusal } from './support/refusal.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
beforeAll(async () => {
  app = await startTestApp({ env: { SEND_GAP_SECONDS: '3600' } })
  sink = await WebhookSink.start()
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

const instances = () => app.sandboxes.flatMap(({ controls }) => controls.instances().map(({ name }) => name))

it('are listed newest first, page by page, and only to their owner', async () => {
  const user = await app.createUser()
  const other = await app.createUser()
  const ids: number[] = []
  for (const display_name of ['One', 'Two', 'Three'])
    ids.push((await user.post('/api/phone-numbers/create', { display_name })).body.phone_number.id)
  await other.post('/api/phone-numbers/create', { display_name: 'Foreign' })

  const names = (body: { phone_numbers: { display_name: string }[] }) =>
    body.phone_numbers.map((one) => one.display_name)
  const whole = await user.get('/api/phone-numbers')
  expect(names(whole.body)).toEqual(['Three', 'Two', 'One'])
  expect(whole.body.next_cursor).toBeNull()
  const first = await user.get('/api/phone-numbers?limit=2')
  expect(names(first.body)).toEqual(['Three', 'Two'])
  const second = await user.get(`/api/phone-numbers?limit=2&cursor=${first.body.next_cursor}`)
  expect(names(second.body)).toEqual(['One'])
  expect(second.body.next_cursor).toBeNull()
  expectRefusal(await user.get('/api/phone-numbers?cursor=nonsense'), 400, 'invalid_request')
})

it('tell how they are: connected, lost, and back', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user, { webhook_url: sink.url })
  const status = async () => (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
  expect(await status()).toMatchObject({
    id: phone.id,
    status: 'connected',
    status_reason: null,
    phone_number: expect.stringMatching(/^62899\d{8}$/),
    first_connected_at: expect.any(String),
    last_event_at: expect.any(String),
  })

  phone.controls.disconnect(phone.engine_name, 403)
  await eventually(async () => (await status()).status === 'disconnected')
  expect(await status()).toMatchObject({ status_reason: 'restricted_by_whatsapp' })
  await eventually(() => Promise.resolve(sink.received.length === 2))
  expect(sink.received.map(({ body }) => [body.type, body.position])).toEqual([
    ['phone_number.connected', expect.any(Number)],
    ['phone_number.disconnected', expect.any(Number)],
  ])
  expect(sink.received[0]!.body).toMatchObject({
    version: '1',
    phone_number: { id: phone.id, display_name: 'Support' },
    data: { status: 'connected', phone_number: (await status()).phone_number },
  })
  expect(sink.received[1]!.body.data).toMatchObject({ reason: 'restricted_by_whatsapp', advice: expect.any(String) })
})

it('survive a short loss of the connection without a word, and count as lost after the grace', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  const status = async () => (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
  phone.controls.setTroubles({ endless_connecting: true }, phone.engine_name)
  await eventually(async () => (await status()).problem === 'reconnecting')
  await app.crew.reconciler.runOnce(60)
  expect(await status()).toMatchObject({ status: 'connected' })
  await app.crew.reconciler.runOnce(0)
  expect(await status()).toMatchObject({ status: 'disconnected', status_reason: 'reconnecting' })
  phone.controls.clearTroubles(phone.engine_name)
  await eventually(async () => (await status()).status === 'connected')
  expect(await status()).toMatchObject({ status: 'connected', status_reason: null })
})

it('are deleted on the engine too; their queue is canceled and refunded, their statistics stay', async () => {
  const user = await app.createUser({ plan_type: 'starter' })
  const phone = await app.connectedNumber(user)
  const send = (text: string) =>
    user.post('/api/messages/send-text?wait=0', { token: phone.token, number: '628000000003', text })
  await send('First')
  await eventually(async () => (await user.get('/api/statistics')).body.statistics.totals.messages_sent === 1)
  const { body: held } = await send('Waits for the gap')
  const { body: queued } = await send('Waits behind it')
  expect([held.message.status, queued.message.status]).toEqual(['queued', 'queued'])
  const used = async () => (await user.get('/api/dashboard')).body.dashboard.usage_today.used
  expect(await used()).toBe(3)

  const deleted = await user.delete(`/api/phone-numbers/${phone.id}`)
  expect([deleted.status, deleted.body]).toEqual([200, { success: true, message: 'Phone number deleted' }])
  await app.crew.remover.runDue()
  expect(instances()).not.toContain(phone.engine_name)
  expect(await used()).toBe(1)
  const waiting = [held.message.id, queued.message.id]
  const { rows } = await app.db.query('select status, refunded from messages where id = any($1)', [waiting])
  expect(rows).toEqual([
    { status: 'canceled', refunded: true },
    { status: 'canceled', refunded: true },
  ])

  for (const call of [
    user.get(`/api/phone-numbers/${phone.id}/status`),
    user.get(`/api/phone-numbers/${phone.id}/qr`),
    user.delete(`/api/phone-numbers/${phone.id}`),
    send('Too late'),
  ])
    expectRefusal(await call, 404, 'not_found')
  expect((await user.get('/api/phone-numbers')).body.phone_numbers).toEqual([])
  const { statistics } = (await user.get('/api/statistics')).body
  expect(statistics.totals.messages_sent).toBe(1)
  expect(statistics.per_phone_number).toMatchObject([{ id: phone.id, messages_sent: 1 }])
})

it('are deleted for their owner at once even where the engine keeps the instance for a while', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  phone.controls.setTroubles({ delete_lingers: true }, phone.engine_name)
  expect((await user.delete(`/api/phone-numbers/${phone.id}`)).status).toBe(200)
  expect(instances()).toContain(phone.engine_name)
  phone.controls.clearTroubles(phone.engine_name)
  await app.db.query('update instance_removals set due_at = now()')
  await app.crew.remover.runDue()
  expect(instances()).not.toContain(phone.engine_name)
  expect((await app.db.query('select 1 from instance_removals')).rowCount).toBe(0)
})

it('are deleted from an engine that has just started only when it has loaded what it knows', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  phone.controls.setTroubles({ loading: true })
  expect((await user.delete(`/api/phone-numbers/${phone.id}`)).status).toBe(200)
  await app.db.query('update instance_removals set due_at = now()')
  await app.crew.remover.runDue()
  expect((await app.db.query('select 1 from instance_removals')).rowCount).toBe(1)
  phone.controls.clearTroubles()
  await app.db.query('update instance_removals set due_at = now()')
  await app.crew.remover.runDue()
  expect(instances()).not.toContain(phone.engine_name)
  expect((await app.db.query('select 1 from instance_removals')).rowCount).toBe(0)
})

it('are deleted once when two ask at the same time', async () => {
  const user = await app.createUser()
  const { body } = await user.post('/api/phone-numbers/create', { display_name: 'Twice' })
  const path = `/api/phone-numbers/${body.phone_number.id}`
  const answers = await Promise.all([user.delete(path), user.delete(path)])
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 404])
})
