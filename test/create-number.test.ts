import { startChild } from './support/child-server.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ servers: 3 })
})
afterEach(async () => {
  for (const { controls } of app.sandboxes) controls.clearTroubles()
  await app.crew.monitor.checkAll()
})
afterAll(() => app.stop())

const create = (user: TestUser, fields: object = {}) =>
  user.post('/api/phone-numbers/create', { display_name: 'Customer Service', ...fields })
const instancesOfUser = ({ id }: TestUser) =>
  app.sandboxes.map(({ controls }) => controls.instances().filter(({ name }) => name.startsWith(`user_${id}_`)).length)
const numbersOf = async (user: TestUser) => (await user.get('/api/phone-numbers')).body.phone_numbers as unknown[]

it('answers a number with its token and a QR code that is a picture', async () => {
  const user = await app.createUser()
  const { status, body } = await create(user)
  expect(status).toBe(201)
  const phone = body.phone_number
  expect(phone).toMatchObject({
    display_name: 'Customer Service',
    status: 'qr_ready',
    phone_number: null,
    webhook_url: null,
  })
  expect(phone.instance_name).toMatch(new RegExp(`^user_${user.id}_\\d{13}_[0-9a-f]{8}$`))
  expect(phone.token).toMatch(/^wst_[\w-]{32}$/)
  const image = Buffer.from((phone.qr_code as string).replace('data:image/png;base64,', ''), 'base64')
  expect(image.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n')
  expect(image.readUInt32BE(16)).toBe(image.readUInt32BE(20)) // as wide as high
  expect(image.readUInt32BE(16)).toBeGreaterThan(100)
  const validity = Date.parse(phone.qr_expires_at as string) - Date.now()
  expect(validity).toBeGreaterThan(0)
  expect(validity).toBeLessThanOrEqual(45_000)
})

it('answers a webhook secret once, and only where there is a webhook', async () => {
  const user = await app.createUser()
  expect((await create(user)).body.phone_number).not.toHaveProperty('webhook_secret')
  const { body } = await create(user, { webhook_url: 'http://127.0.0.1:9/hook' })
  const { webhook_secret, id } = body.phone_number
  expect(webhook_secret).toMatch(/^whsec_[A-Za-z0-9+/]{32}$/)
  expect(body.phone_number.webhook_url).toBe('http://127.0.0.1:9/hook')
  for (const path of ['/api/phone-numbers', `/api/phone-numbers/${id}/status`, `/api/phone-numbers/${id}/qr`]) {
    const { text } = await user.get(path)
    expect(text).not.toContain(webhook_secret)
    expect(text).not.toContain('webhook_secret')
  }
})

it('keeps what the user wants to remember with the number', async () => {
  const user = await app.createUser()
  const metadata = { customer: 17, tags: ['a', 'b'] }
  const { body } = await create(user, { metadata, receive_groups: true })
  expect(body.phone_number).toMatchObject({ metadata, receive_groups: true })
  const [instance] = app
    .sandboxOf(`${body.phone_number.instance_name}_g1`)
    .controls.requests({ path: '/instance/create' })
    .requests.slice(-1)
  expect(instance!.body).toMatchObject({ groupsIgnore: false, qrcode: false, syncFullHistory: false })
})

it('stops at the limit of the plan and goes on after a deletion', async () => {
  const user = await app.createUser({ plan_type: 'starter' })
  const ids = []
  for (let n = 0; n < 3; n++) ids.push((await create(user)).body.phone_number.id)
  const refused = await create(user)
  expectRefusal(refused, 403, 'plan_limit_reached')
  expect(refused.body.error.message).toContain('3')
  await user.delete(`/api/phone-numbers/${ids[0]}`)
  expect((await create(user)).status).toBe(201)
})

it('places numbers on the servers in turn', async () => {
  const user = await app.createUser()
  for (let n = 0; n < 6; n++) await create(user)
  expect(instancesOfUser(user)).toEqual([2, 2, 2])
})

it('leaves out a server that is not healthy, and takes it again when it is', async () => {
  const user = await app.createUser()
  app.sandboxes[1]!.controls.setTroubles({ refuse: '503' })
  await app.crew.monitor.checkAll()
  for (let n = 0; n < 4; n++) expect((await create(user)).status).toBe(201)
  expect(instancesOfUser(user)).toEqual([2, 0, 2])
  app.sandboxes[1]!.controls.clearTroubles()
  await app.crew.monitor.checkAll()
  await create(user)
  expect(instancesOfUser(user)).toEqual([2, 1, 2])
})

it.each([
  ['refuses our key', { wrong_key: true }],
  ['answers 503', { refuse: '503' }],
  ['breaks every connection', { refuse: 'close' }],
  ['wants a licence', { licence_required: true }],
] as const)('leaves nothing behind where the engine %s', async (_what, trouble) => {
  const user = await app.createUser({ plan_type: 'starter' })
  for (const { controls } of app.sandboxes) controls.setTroubles(trouble)
  for (let n = 0; n < 4; n++) expectRefusal(await create(user), 503, 'unavailable')
  expect(await numbersOf(user)).toEqual([])

  for (const { controls } of app.sandboxes) controls.clearTroubles()
  await app.db.query('update instance_removals set due_at = now()')
  await app.crew.remover.runDue()
  expect(instancesOfUser(user)).toEqual([0, 0, 0])
  expect((await app.db.query('select 1 from instance_removals')).rowCount).toBe(0)
  expect((await app.db.query('select 1 from phone_numbers where user_id = $1', [user.id])).rowCount).toBe(0)
  await app.crew.monitor.checkAll() // the real one may have seen the trouble
  expect((await create(user)).status).toBe(201) // a failed try has cost no place
})

it('exists without a QR code where none comes in time, and shows it later', async () => {
  const user = await app.createUser()
  for (const { controls } of app.sandboxes) controls.setTroubles({ no_qr: true })
  const created = await create(user).timeout(20_000)
  expect(created.status).toBe(201)
  expect(created.body.phone_number).toMatchObject({ status: 'connecting', qr_code: null, qr_expires_at: null })
}, 30_000)

describe('repeated with its Idempotency-Key', () => {
  const keyed = (user: TestUser, key: string, fields: object = {}) => create(user, fields).set('idempotency-key', key)
  const webhook_url = 'http://127.0.0.1:9/hook'

  it('makes one number, also when all calls come at once, and tells each the same but for the secret', async () => {
    const user = await app.createUser({ plan_type: 'starter' })
    const answers = await Promise.all(Array.from({ length: 10 }, () => keyed(user, 'shop-7', { webhook_url })))
    answers.push(await keyed(user, 'shop-7', { webhook_url }))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201))
    const told = answers.map(({ body }) => body.phone_number)
    expect(new Set(told.map(({ id, token, status }) => `${id} ${token} ${status}`)).size).toBe(1)
    expect(told[0].status).toBe('qr_ready')
    expect(told.filter(({ webhook_secret }) => webhook_secret !== undefined)).toHaveLength(1)
    expect(instancesOfUser(user).reduce((a, b) => a + b)).toBe(1)
    expect(await numbersOf(user)).toHaveLength(1)
    expect((await user.get('/api/webhooks')).body.webhooks).toHaveLength(1)
  })

  it('refuses the key for another call, and knows nobody else’s', async () => {
    const [user, other] = [await app.createUser(), await app.createUser()]
    const first = await keyed(user, 'shop-8')
    expectRefusal(await keyed(user, 'shop-8', { metadata: { shop: 'B' } }), 422, 'idempotency_mismatch')
    const { token } = await app.connectedNumber(user)
    const text = { token, number: '628000000001', text: 'Once' }
    const send = (key: string) => user.post('/api/messages/send-text?wait=0', text).set('idempotency-key', key)
    expectRefusal(await send('shop-8'), 422, 'idempotency_mismatch')
    expect((await send('order-8')).status).toBe(202)
    expectRefusal(await keyed(user, 'order-8'), 422, 'idempotency_mismatch')
    const theirs = await keyed(other, 'shop-8')
    expect(theirs.status).toBe(201)
    expect(theirs.body.phone_number.id).not.toBe(first.body.phone_number.id)
    expect(await numbersOf(user)).toHaveLength(2)
  })

  it('frees the key when no number came of it', async () => {
    const user = await app.createUser()
    for (const { controls } of app.sandboxes) controls.setTroubles({ refuse: '503' })
    const refused = await Promise.all(Array.from({ length: 4 }, () => keyed(user, 'shop-9')))
    for (const answer of refused) expectRefusal(answer, 503, 'unavailable')
    for (const { controls } of app.sandboxes) controls.clearTroubles()
    await app.crew.monitor.checkAll()
    expect(await numbersOf(user)).toEqual([])
    expect((await keyed(user, 'shop-9', { display_name: 'Other' })).status).toBe(201)
  })

  it('waits for the first call, which is slow: one that deletes its number meanwhile gets none', async () => {
    const user = await app.createUser()
    for (const { controls } of app.sandboxes) controls.setTroubles({ slow_create_ms: 500 })
    const calls = () => [1, 2, 3].map(() => keyed(user, 'shop-11').then((answer) => answer))
    const made = await Promise.all(calls())
    expect(new Set(made.map(({ status, body }) => `${status} ${body.phone_number.id}`)).size).toBe(1)

    for (const { controls } of app.sandboxes) controls.setTroubles({ slow_create_ms: 2_000 })
    const [first, ...repeated] = [1, 2, 3].map(() => keyed(user, 'shop-12').then((answer) => answer))
    const numbers = async () => (await user.get('/api/phone-numbers')).body.phone_numbers as { id: number }[]
    await eventually(async () => (await numbers()).length === 2)
    expect((await user.delete(`/api/phone-numbers/${(await numbers())[0]!.id}`)).status).toBe(200)
    expectRefusal((await first)!, 409, 'conflict')
    for (const answer of await Promise.all(repeated)) expectRefusal(answer, answer.status, /^(conflict|unavailable)$/)
    expectRefusal(await keyed(user, 'shop-12'), 409, 'conflict')
    expect(await numbers()).toHaveLength(1)
  })

  it('gets the number of a first call whose process died while the engine was at it', async () => {
    const user = await app.createUser()
    const child = await startChild(app)
    for (const { controls } of app.sandboxes) controls.setTroubles({ slow_create_ms: 3_000 })
    const call = app.as(user, child).post('/api/phone-numbers/create', { display_name: 'Customer Service' })
    const lost = call.set('idempotency-key', 'shop-16').then(
      () => 'answered',
      () => 'lost',
    )
    await eventually(async () => (await numbersOf(user)).length === 1)
    await child.end('SIGKILL')
    expect(await lost).toBe('lost')
    for (const { controls } of app.sandboxes) controls.clearTroubles()
    // What it held, it holds for 90 seconds.
    await app.db.query(`update phone_numbers set linking_until = now() - interval '1 s' where user_id = $1`, [user.id])
    const { status, body } = await keyed(user, 'shop-16')
    expect([status, body.phone_number.status]).toEqual([201, 'qr_ready'])
    expect(await numbersOf(user)).toMatchObject([{ id: body.phone_number.id }])
  })

  it('says nothing that its caller may not know, and links nothing that was unlinked', async () => {
    const user = await app.createUser()
    const first = await keyed(user, 'shop-13')
    const { id } = first.body.phone_number
    await user.post('/api/webhooks', { url: webhook_url, phone_number_id: id })
    expect((await keyed(user, 'shop-13')).text).not.toContain('whsec_')
    await app.db.query(
      `update phone_numbers set status = 'disconnected', status_reason = 'logged_out',
                               first_connected_at = now(), qr_code = null where id = $1`,
      [id],
    )
    const again = await keyed(user, 'shop-13')
    expect(again.status).toBe(201)
    expect(again.body.phone_number).toMatchObject({ id, status: 'disconnected', qr_code: null })
  })

  it('answers the number of the first call when the plan has ended or has no more room, whatever metadata says', async () => {
    const user = await app.createUser()
    const fields = { metadata: { upload: null, files: [{ upload: { bytes: 'none' } }] } }
    const first = await keyed(user, 'shop-14', fields)
    expect(first.status).toBe(201)
    await app.db.query(`update users set max_phone_numbers = 1, status = 'expired' where id = $1`, [user.id])
    app.ctx.bus.tell('auth.changed', { user_id: user.id })
    expect((await keyed(user, 'shop-14', fields)).body.phone_number.id).toBe(first.body.phone_number.id)
    expectRefusal(await keyed(user, 'shop-15', fields), 403, 'plan_expired')
  })

  it('makes no second number in place of a deleted one, until a day has passed', async () => {
    const user = await app.createUser()
    const first = await keyed(user, 'shop-10')
    await user.delete(`/api/phone-numbers/${first.body.phone_number.id}`)
    expectRefusal(await keyed(user, 'shop-10'), 409, 'conflict')
    const forget = () =>
      app.db.query(`update idempotency_keys set created_at = now() - interval '25 hours' where user_id = $1`, [user.id])
    await forget()
    const second = await keyed(user, 'shop-10')
    expect(second.status).toBe(201)
    expect((await keyed(user, 'shop-10')).body.phone_number.id).toBe(second.body.phone_number.id)

    const { token } = await app.connectedNumber(user)
    const send = () =>
      user
        .post('/api/messages/send-text?wait=0', { token, number: '628000000001', text: 'Once' })
        .set('idempotency-key', 'shop-10')
    expectRefusal(await send(), 422, 'idempotency_mismatch')
    await forget()
    const message = (await send()).body.message
    expect((await send()).body.message.id).toBe(message.id)
    await forget()
    expect((await keyed(user, 'shop-10')).status).toBe(201)
  })
})

it('tries the next server when one cannot be reached, and says no_capacity when none can', async () => {
  const user = await app.createUser()
  await app.sandboxes[0]!.close()
  for (let n = 0; n < 4; n++) expect((await create(user)).status).toBe(201)
  expect(instancesOfUser(user).slice(1)).toEqual([2, 2])
  await Promise.all(app.sandboxes.map((sandbox) => sandbox.close()))
  const refused = await create(user)
  expectRefusal(refused, 503, 'no_capacity')
  expect(refused.headers['retry-after']).toBe('60')
  expect(await numbersOf(user)).toHaveLength(4)
})
