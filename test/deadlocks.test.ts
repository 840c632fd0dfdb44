import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
})
afterAll(() => app.stop())

it('a statement that PostgreSQL ended, since it and another locked each other out, is run again', async () => {
  const [first, second] = [await app.createUser(), await app.createUser()]
  const touch = 'update users set updated_at = now() where id = $1'
  const both = await app.db.transaction(async (tx) => {
    await tx.query(`set local deadlock_timeout = '10s'`) // so that it is the other that is ended
    await tx.query(touch, [first.id])
    const other = app.ctx.db.query(
      `update users set updated_at = now()
        where id in (select id from users where id = any($1::bigint[]) order by id desc for update)`,
      [[first.id, second.id]],
    )
    await eventually(async () => (await app.lockWaiters()) > 0)
    await tx.query(touch, [second.id])
    return [other]
  })
  expect((await both[0]!).rowCount).toBe(2)
})
