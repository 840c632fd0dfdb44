import request from 'supertest'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let admin: ReturnType<typeof operatorOf>
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY, EXPIRY_WARNING_DAYS: '7', EXPIRY_GRACE_DAYS: '3' } })
  admin = operatorOf(app.url)
})
afterAll(() => app.stop())

const DAY_MS = 86_400_000
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS)
const send = (user: TestUser, phone: ConnectedNumber, query = '?wait=5') =>
  user.post(`/api/messages/send-text${query}`, { token: phone.token, number: '628000000003', text: 'Hi' })
const messageStatus = async (user: TestUser, id: number) => (await user.get(`/api/messages/${id}`)).body.message.status
const GONE_OUT = ['sent', 'delivered', 'read']

it('are made by the operator, with a link to set the password once', async () => {
  const { status, body } = await admin.post('/users', {
    email: 'Shop@Example.com',
    company_name: 'Shop',
    plan_type: 'business',
    max_phone_numbers: 2,
  })
  expect(status).toBe(201)
  expect(body.user).toMatchObject({
    email: 'shop@example.com',
    plan_type: 'business',
    max_phone_numbers: 2,
    max_messages_per_day: 5000,
    status: 'active',
  })
  const withKey = app.withKey(body.user.api_key as string)
  expect((await withKey.get('/api/user/profile')).body.user.email).toBe('shop@example.com')
  expectRefusal(await admin.post('/users', { email: 'shop@example.com' }), 409, 'email_taken')

  const { pathname, hash } = new URL(body.password_reset.url as string)
  expect((await request(app.url).get(pathname)).text).toContain('/pages/reset.mjs')
  const reset = (password: string) => app.api.post('/api/auth/reset-password').send({ token: hash.slice(1), password })
  expect((await reset('Brand-New-1')).status).toBe(200)
  expectRefusal(await reset('Brand-New-2'), 401, 'unauthorized')
  expect(
    (await app.api.post('/api/auth/login').send({ email: 'shop@example.com', password: 'Brand-New-1' })).status,
  ).toBe(200)
})

it('have one good link at a time, whatever links others get', async () => {
  const [ani, budi] = [await app.createUser(), await app.createUser()]
  const link = async ({ id }: TestUser) => {
    const { url } = (await admin.post(`/users/${id}/password-reset`)).body.password_reset as { url: string }
    return new URL(url).hash.slice(1)
  }
  const reset = (token: string) => app.api.post('/api/auth/reset-password').send({ token, password: 'Brand-New-1' })
  const [old, good] = [await link(ani), await link(ani)]
  await link(budi)
  expectRefusal(await reset(old), 401, 'unauthorized')
  expect((await reset(good)).status).toBe(200)
})

it.each([
  ['no e-mail address', { email: 'nobody' }],
  ['an unknown plan', { email: 'a@example.com', plan_type: 'gold' }],
  ['a negative limit', { email: 'a@example.com', max_phone_numbers: -1 }],
  ['a limit that is no number', { email: 'a@example.com', max_messages_per_day: null }],
  ['a field that is none', { email: 'a@example.com', status: 'active' }],
  ['a time that is none', { email: 'a@example.com', active_until: 'tomorrow' }],
  ['a zone that is none', { email: 'a@example.com', time_zone: 'Mars/Base' }],
])('are not made with %s', async (_what, body) => {
  expectRefusal(await admin.post('/users', body), 400, 'invalid_request')
  expect((await admin.get('/users?search=a@example.com')).body.users).toEqual([])
})

it('are found by a part of their name, and page by page', async () => {
  for (const name of ['Warung Satu', 'Warung Dua', 'Toko_100%']) await app.createUser({ company_name: name })
  const search = async (query: string) =>
    (await admin.get(`/users?${query}`)).body.users.map((one: { company_name: string }) => one.company_name)
  expect(await search('search=warung')).toEqual(['Warung Dua', 'Warung Satu'])
  expect(await search('search=_100%25')).toEqual(['Toko_100%'])
  expect(await search('search=warung&status=suspended')).toEqual([])
  const page = (await admin.get('/users?search=warung&limit=1')).body
  expect(await search(`search=warung&limit=1&cursor=${page.next_cursor}`)).toEqual(['Warung Satu'])
  expectRefusal(await admin.get('/users/999999'), 404, 'not_found')
})

it('that are suspended send nothing and are answered nothing; afterwards everything goes on where it was', async () => {
  const user = await app.createUser()
  const [phone, paused] = [await app.connectedNumber(user), await app.connectedNumber(user)]
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  await user.post(`/api/phone-numbers/${paused.id}/queue/pause`)
  const { message } = (await send(user, phone, '?wait=0')).body
  const own = (await send(user, paused, '?wait=0')).body.message
  expect((await admin.post(`/users/${user.id}/suspend`, { reason: 'abuse' })).body.user).toMatchObject({
    status: 'suspended',
    suspension_reason: 'abuse',
  })
  expectRefusal(await user.get('/api/user/profile'), 403, 'forbidden')
  expectRefusal(await send(user, phone), 403, 'forbidden')
  expect(phone.controls.instance(phone.engine_name).state).toBe('open')
  await app.engineSays(phone.engine_name, { event: 'connection.update', data: { state: 'open', statusReason: 200 } })
  await app.ctx.lanes.runDue()
  expect(phone.controls.ledger.count(phone.engine_name, '628000000003', 'Hi')).toBe(0)
  phone.controls.incoming(phone.engine_name, { chat: '628111111111', text: 'still heard' })

  expect((await admin.post(`/users/${user.id}/activate`)).body.user).toMatchObject({
    status: 'active',
    suspension_reason: null,
  })
  expect((await user.get(`/api/phone-numbers/${phone.id}/queue`)).body.queue).toMatchObject({ paused: true, queued: 1 })
  await user.post(`/api/phone-numbers/${phone.id}/queue/resume`)
  await eventually(async () => GONE_OUT.includes(await messageStatus(user, message.id)))
  expect(await messageStatus(user, own.id)).toBe('queued') // its own pause outlived the suspension
  await eventually(async () => (await user.get('/api/events?types=message.received')).body.events.length === 1)
})

it('that are suspended and unlinked leave their servers, and link again afterwards', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  const other = await app.connectedNumber(await app.createUser())
  const linked = () => app.sandboxes.flatMap(({ controls }) => controls.instances().map(({ name }) => name))
  await admin.post(`/users/${user.id}/suspend`, { unlink_numbers: true })
  await app.crew.remover.runDue()
  expect(linked()).not.toContain(phone.engine_name)
  expect(linked()).toContain(other.engine_name)
  await admin.post(`/users/${user.id}/activate`)
  const status = (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
  expect(status).toMatchObject({ status: 'disconnected', status_reason: 'suspended', token: phone.token })
  expect((await user.get(`/api/phone-numbers/${phone.id}/qr`)).body.phone_number.status).toBe('qr_ready')
})

it('whose time ends are warned, have their days of grace, and then wait until it is renewed', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  const told = async () =>
    (await user.get('/api/events?types=plan.expiring,plan.expired')).body.events.map(
      (event: { data: { phase: string } }) => event.data.phase,
    )
  const active_until = inDays(10).toISOString()
  await admin.patch(`/users/${user.id}`, { active_until })
  expect((await user.get('/api/user/profile')).body.user).toMatchObject({ status: 'active', active_until })
  await app.ctx.expiry.runOnce()
  expect(await told()).toEqual([])
  await app.ctx.expiry.runOnce(inDays(4))
  await app.ctx.expiry.runOnce(inDays(5))
  expect(await told()).toEqual(['warning'])
  await app.ctx.expiry.runOnce(inDays(11))
  expect(await told()).toEqual(['warning', 'grace'])
  expect((await send(user, phone)).body.message.status).toBe('sent')

  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const { message } = (await send(user, phone, '?wait=0')).body
  await app.ctx.expiry.runOnce(inDays(14))
  expect(await told()).toEqual(['warning', 'grace', 'expired'])
  expectRefusal(await send(user, phone), 403, 'plan_expired')
  expectRefusal(await user.post('/api/phone-numbers/create', { display_name: 'More' }), 403, 'plan_expired')
  expect((await user.get('/api/user/profile')).body.user).toMatchObject({ status: 'expired', active_until })
  expect((await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number.status).toBe('connected')
  await user.post(`/api/phone-numbers/${phone.id}/queue/resume`)
  const { queue } = (await user.get(`/api/phone-numbers/${phone.id}/queue`)).body
  expect(queue).toMatchObject({ queued: 1, paused: true, blocked_reason: 'plan_expired' })

  expect((await admin.patch(`/users/${user.id}`, { active_until: inDays(60).toISOString() })).body.user.status).toBe(
    'active',
  )
  await eventually(async () => GONE_OUT.includes(await messageStatus(user, message.id)))
  expect((await send(user, phone)).body.message.status).toBe('sent')
})

it('messages of those whose time has ended do not outlive their time to live', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const { message } = (await send(user, phone, '?wait=0')).body
  await admin.post(`/users/${user.id}/suspend`)
  await app.ctx.queue.expire(inDays(2))
  await admin.post(`/users/${user.id}/activate`)
  expect(await messageStatus(user, message.id)).toBe('expired')
  expect((await user.get('/api/dashboard')).body.dashboard.usage_today.used).toBe(0)
})

it('with a smaller plan keep what they have and get nothing more', async () => {
  const user = await app.createUser({ plan_type: 'business' })
  const phones = []
  for (let n = 0; n < 4; n++) phones.push(await app.connectedNumber(user))
  const { body } = await admin.patch(`/users/${user.id}`, { plan_type: 'starter' })
  expect(body.user).toMatchObject({
    plan_type: 'starter',
    max_phone_numbers: 3,
    max_messages_per_day: 1000,
    phone_numbers: 4,
    phone_numbers_over_limit: 1,
  })
  expectRefusal(await user.post('/api/phone-numbers/create', { display_name: 'Fifth' }), 403, 'plan_limit_reached')
  for (const phone of phones) expect((await send(user, phone)).body.message.status).toBe('sent')
  await admin.patch(`/users/${user.id}`, { max_messages_per_day: 4 })
  expectRefusal(await send(user, phones[0]!), 429, 'quota_exceeded')
})

it('follow a plan that changes only where their limits were the plan’s', async () => {
  expect(
    (await admin.post('/plans', { plan_type: 'gold', max_phone_numbers: 20, max_messages_per_day: 9000 })).status,
  ).toBe(201)
  expectRefusal(
    await admin.post('/plans', { plan_type: 'gold', max_phone_numbers: 1, max_messages_per_day: 1 }),
    409,
    'conflict',
  )
  expectRefusal(
    await admin.post('/plans', { plan_type: 'GOLD!', max_phone_numbers: 1, max_messages_per_day: 1 }),
    400,
    'invalid_request',
  )
  expectRefusal(await admin.patch('/plans/nothing', { max_phone_numbers: 1 }), 404, 'not_found')
  const ordinary = (await admin.post('/users', { email: 'g1@example.com', plan_type: 'gold' })).body.user
  const special = (await admin.post('/users', { email: 'g2@example.com', plan_type: 'gold', max_phone_numbers: 99 }))
    .body.user
  const changed = await admin.patch('/plans/gold', { max_phone_numbers: 25, apply_to_users: true })
  expect(changed.body).toMatchObject({
    users_changed: 1,
    plan: { max_phone_numbers: 25, max_messages_per_day: 9000, users: 2 },
  })
  expect((await admin.get(`/users/${ordinary.id}`)).body.user.max_phone_numbers).toBe(25)
  expect((await admin.get(`/users/${special.id}`)).body.user.max_phone_numbers).toBe(99)
})

it('are deleted with everything they have when the operator says purge', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user)
  expectRefusal(await admin.delete(`/users/${user.id}`), 400, 'invalid_request')
  expect((await admin.delete(`/users/${user.id}?purge=true`)).status).toBe(200)
  expectRefusal(await user.get('/api/user/profile'), 401, 'unauthorized')
  expectRefusal(await admin.get(`/users/${user.id}`), 404, 'not_found')
  await app.ctx.userDeletion.runOnce()
  await eventually(async () => {
    await app.crew.remover.runDue()
    return !phone.controls.instances().some(({ name }) => name === phone.engine_name)
  })
})

it('are billed by month, as JSON and as a table that no spreadsheet takes for a formula', async () => {
  const user = await app.createUser({ company_name: '=HYPERLINK("x"), Ltd' })
  const phone = await app.connectedNumber(user)
  await send(user, phone)
  const month = (
    await app.db.query<{ month: string }>(`select to_char(now() at time zone 'Asia/Jakarta', 'YYYY-MM') as month`)
  ).rows[0]!.month
  const { usage } = (await admin.get(`/usage?month=${month}`)).body
  expect(usage.find((row: { user_id: number }) => row.user_id === user.id)).toMatchObject({
    messages_sent: 1,
    messages_charged: 1,
    phone_numbers: 1,
  })
  const csv = await admin.get(`/usage.csv?month=${month}`)
  expect(csv.type).toBe('text/csv')
  expect(csv.headers['content-disposition']).toContain(`usage-${month}.csv`)
  expect(csv.text.split('\r\n')[0]).toBe(
    'month,user_id,email,company_name,plan_type,status,phone_numbers,messages_sent,messages_received,media_sent,media_received,messages_charged',
  )
  expect(csv.text).toContain(`${month},${user.id},${user.email},"'=HYPERLINK(""x""), Ltd",business,active,1,1,0,0,0,1`)
  expectRefusal(await admin.get('/usage?month=2026-13'), 400, 'invalid_request')
  const { queues } = (await admin.get('/queues')).body
  expect(queues).toMatchObject({
    sends: { queued: expect.any(Number), blocked: expect.any(Array) },
    deliveries: { failing_webhooks: 0 },
  })
  const numbers = await admin.get(`/phone-numbers?user_id=${user.id}`)
  expect(numbers.body.phone_numbers).toMatchObject([
    { id: phone.id, email: user.email, status: 'connected', engine_name: phone.engine_name },
  ])
  expect(numbers.text).not.toContain(phone.token)
})
