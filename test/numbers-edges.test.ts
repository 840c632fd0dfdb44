import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as gaps from '../src/db/gaps.js'
import * as laneGates from '../src/db/lane-gates.js'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, startTestApp } from './support/test-app.js'
import { seedNumber } from './support/webhook-stage.js'

let app: TestApp
let admin: ReturnType<typeof operatorOf>
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY, ROLE: 'api' } })
  admin = operatorOf(app.url)
})
afterAll(() => app.stop())

it('webhooks are a hundred at most, however many are asked for at once', async () => {
  const user = await app.createUser()
  await app.db.query(
    `insert into webhooks (user_id, url, secret, event_types)
     select $1, 'https://example.com', 'whsec_' || encode(sha256('a key'), 'base64'), '{*}' from generate_series(1, 99)`,
    [user.id],
  )
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => user.post('/api/webhooks', { url: app.url }).then(({ status }) => status)),
  )
  expect(answers.sort()).toEqual([201, ...Array.from({ length: 7 }, () => 409)])
})

it('a gap that became wider while it was being filled is not done', async () => {
  const user = await app.createUser()
  const { id } = await seedNumber(app, user)
  const { instance_name } = (
    await app.db.query<{ instance_name: string }>('select instance_name from phone_numbers where id = $1', [id])
  ).rows[0]!
  const wide = (back_seconds: number) =>
    gaps.openForInstance(app.db, [instance_name], { back_seconds, settle_seconds: 0 })
  await wide(60)
  const [gap] = await gaps.claimDue(app.db, null, 300)
  await wide(900)
  await gaps.close(app.db, gap!)
  const [rest] = await gaps.claimDue(app.db, null, 300)
  expect(rest!.from_at.getTime()).toBeLessThan(gap!.from_at.getTime())
  await gaps.close(app.db, rest!)
  expect(await gaps.claimDue(app.db, null, 300)).toEqual([])
})

it('what the operator changes beside the limit does not tell thresholds again', async () => {
  const { user, text } = await newSender(app)
  await admin.patch(`/users/${user.id}`, { max_messages_per_day: 5 })
  const told = async () => (await user.get('/api/events?types=usage.threshold')).body.events.length as number
  const day = `(now() at time zone (select time_zone from users where id = $1))::date`
  await app.db.query(`insert into daily_usage (user_id, day, used, told) values ($1, ${day}, 3, 0)`, [user.id])
  await app.ctx.lanes.runDue()
  expect((await text(QUIET, 'four', {}, '?wait=0')).status).toBeLessThan(300)
  expect(await told()).toBe(1)
  await admin.patch(`/users/${user.id}`, { full_name: 'Siti' })
  const { rows } = await app.db.query('select told from daily_usage where user_id = $1', [user.id])
  expect(rows).toEqual([{ told: 80 }])
})

it('what was learned of an instance that has been replaced is not applied to the next one', async () => {
  const user = await app.createUser()
  const { id } = await seedNumber(app, user)
  await app.db.query(`update phone_numbers set engine_generation = 2, status = 'qr_ready' where id = $1`, [id])
  await app.ctx.changes.apply(
    { id, engine_generation: 1 },
    { kind: 'state', state: 'open', reason: null, phone_number: null },
  )
  const { rows } = await app.db.query('select status from phone_numbers where id = $1', [id])
  expect(rows).toEqual([{ status: 'qr_ready' }])
})

it('a server that is back wakes no lane of a number that is not connected', async () => {
  const { phone, lane } = await newSender(app)
  await lane(`blocked_reason = 'number_disconnected', blocked_since = now(), due_at = 'infinity', failures = 3`)
  const { rows } = await app.db.query<{ server_instance: string }>(
    'select server_instance from phone_numbers where id = $1',
    [phone.id],
  )
  await laneGates.wakeServer(app.db, rows[0]!.server_instance)
  const state = await app.db.query(
    `select due_at = 'infinity' as waits, failures from lanes where phone_number_id = $1`,
    [phone.id],
  )
  expect(state.rows).toEqual([{ waits: true, failures: 3 }])
})

it('a create that the engine forbids makes no number, unless the instance is there', async () => {
  const user = await app.createUser()
  const forbidding = createServer((req, res) => {
    const status = req.url === '/instance/create' ? 403 : 404
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ status, error: 'no' }))
  })
  await new Promise<void>((resolve) => forbidding.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(forbidding.address() as AddressInfo).port}`
    await app.db.query(`insert into servers (name, url, source, listed) values ('forbidding', $1, 'admin', true)`, [
      url,
    ])
    await app.db.query(`update servers set state = 'draining' where name <> 'forbidding'`)
    expectRefusal(await user.post('/api/phone-numbers/create', { display_name: 'Shop' }), 503, 'unavailable')
    expect((await user.get('/api/phone-numbers')).body.phone_numbers).toEqual([])
  } finally {
    forbidding.closeAllConnections()
    forbidding.close()
    await app.db.query(`update servers set state = 'active' where name <> 'forbidding'`)
  }
})
