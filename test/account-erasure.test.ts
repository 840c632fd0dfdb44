import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { SEND_GAP_SECONDS: '3600' } })
})
beforeEach(async () => {
  user = await app.createUser()
})
afterEach(() => (app.ctx.clock.now = () => new Date()))
afterAll(() => app.stop())

const leave = () => user.delete('/api/user').send({ password: user.password })
const laterBy = (seconds: number) => (app.ctx.clock.now = () => new Date(Date.now() + seconds * 1000))

it('takes nothing along of one whose id only begins the same', async () => {
  const { rows } = await app.db.query<{ id: number }>(
    `insert into unprocessed_events (engine_name, reason, size, body)
     select 'user_' || $1::bigint || n || '_1700000000000_abcd_g1', 'of another', 1, '' from generate_series(0, 9) n returning id`,
    [user.id],
  )
  await leave()
  laterBy(200)
  await app.ctx.userDeletion.runOnce()
  const kept = await app.db.query('select 1 from unprocessed_events where id = any($1::bigint[])', [
    rows.map(({ id }) => id),
  ])
  expect(kept.rowCount).toBe(10)
})

it('whose deletion was broken off at once sends nothing until the numbers are gone', async () => {
  const phone = await app.connectedNumber(user)
  await app.db.query(`update users set deleted_at = now(), status = 'suspended' where id = $1`, [user.id])
  let round: Promise<void> | undefined
  await app.db.transaction(async (tx) => {
    // The deletion of the number waits here; its lane is held by then.
    await tx.query('select 1 from phone_numbers where id = $1 for update', [phone.id])
    round = app.ctx.userDeletion.runOnce()
    const held = 'select 1 from lanes where phone_number_id = $1 and held_reason is not null'
    await eventually(async () => (await app.db.query(held, [phone.id])).rowCount === 1)
  })
  await round
})
