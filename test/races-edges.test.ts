import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let admin: ReturnType<typeof operatorOf>
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY, ROLE: 'api' } })
  admin = operatorOf(app.url)
  user = await app.createUser({ plan_type: 'enterprise' })
})
afterAll(() => app.stop())

const row = async (id: number) => (await app.db.query('select * from phone_numbers where id = $1', [id])).rows[0]!

it('a number that has moved in the moment of an evacuation stays where it is now', async () => {
  const phone = await app.connectedNumber(user)
  const { server_instance: from } = await row(phone.id)
  const to = from === 'sandbox-1' ? 'sandbox-2' : 'sandbox-1'
  let evacuated: Promise<unknown> | undefined
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from phone_numbers where id = $1 for update', [phone.id])
    evacuated = admin.post(`/servers/${from}/evacuate`, { force: true }).then(({ body }) => body.evacuated)
    await eventually(async () => (await app.lockWaiters()) > 0)
    await tx.query('update phone_numbers set server_instance = $2 where id = $1', [phone.id, to])
  })
  expect(await evacuated).toEqual({ moved: 0, to_relink: 0 })
  expect(await row(phone.id)).toMatchObject({ server_instance: to, parked_at: null, status: 'connected' })
  await admin.patch(`/servers/${from}`, { state: 'active' })
})

it('a number that got a new instance in the moment of being parked keeps it', async () => {
  const { id } = (await user.post('/api/phone-numbers/create', { display_name: 'Shop' })).body.phone_number
  await app.db.query(`update phone_numbers set link_asked_at = now() - interval '30 days' where id = $1`, [id])
  let parking: Promise<number> | undefined
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from phone_numbers where id = $1 for update', [id])
    parking = app.crew.reconciler.parkUnlinked(60)
    await eventually(async () => (await app.lockWaiters()) > 0)
    await tx.query('update phone_numbers set engine_generation = engine_generation + 1 where id = $1', [id])
  })
  expect(await parking).toBe(0)
  expect((await row(id)).parked_at).toBeNull()
})

it('a transaction of which a statement failed unnoticed is not taken for done', async () => {
  const unnoticed = app.db.transaction(async (tx) => {
    await tx.query('update users set full_name = $2 where id = $1', [user.id, 'Lost'])
    await tx.query('select 1 / 0').catch(() => {})
  })
  await expect(unnoticed).rejects.toThrow('failed unnoticed')
})
