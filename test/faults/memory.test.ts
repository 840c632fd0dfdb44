import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { type ChildServer, startChild } from '../support/child-server.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from '../support/test-app.js'
import { WebhookSink } from '../support/webhook-sink.js'
import { createWebhook } from '../support/webhook-stage.js'

const MEBIBYTE = 1024 * 1024
const measurable = existsSync('/proc/self/status')

let app: TestApp
let child: ChildServer
let users: TestUser[]
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 }) // all the work is the child's
  users = await Promise.all(Array.from({ length: 20 }, () => app.createUser({ plan_type: 'enterprise' })))
  phone = await app.connectedNumber(users[0]!)
  const ids = users.map(({ id }) => id)
  await app.db.query(
    `insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, status, first_connected_at)
     select u, 'sandbox-1', 'many_' || u || '_' || n, 'wst_' || u || '_' || n, 'Many', 'connected', now()
       from unnest($1::bigint[]) u, generate_series(1, 50) n`,
    [ids],
  )
  await app.db.query(
    `with numbers as (select id, user_id from phone_numbers where display_name = 'Many'),
          lane as (insert into lanes (phone_number_id) select id from numbers)
     insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, whatsapp_id)
     select user_id, id, 'outgoing', 'api', 'text', '628111', jsonb_build_object('text', repeat('x', 500)), 'read', 'M' || n
       from numbers, generate_series(1, 10) n`,
  )
  child = await startChild(app, { LOG_LEVEL: 'warn', NODE_OPTIONS: '--max-old-space-size=192' }) // as in 384 MB
})
afterAll(async () => {
  await child.end('SIGTERM')
  await app.stop()
})

function residentMebibytes() {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / MEBIBYTE
}

const measured = measurable ? it : it.skip
measured('with 1,000 numbers and 10,000 messages the process stays under 200 MB while it is used', async () => {
  const clients = users.map((user) => app.as(user, child))
  let most = residentMebibytes()
  for (let round = 0; round < 3; round++) {
    await Promise.all(
      clients.map(async (client) => {
        const list = await client.get('/api/phone-numbers?limit=200')
        expect(list.body.phone_numbers.length).toBeGreaterThanOrEqual(50)
        for (const path of ['/api/dashboard', '/api/statistics', '/api/user/profile'])
          expect((await client.get(path)).status).toBe(200)
      }),
    )
    const sends = Array.from({ length: 100 }, (_, n) =>
      clients[0]!.post('/api/messages/send-text', {
        token: phone.token,
        number: '628000000003',
        text: `Load ${round} ${n}`,
      }),
    )
    expect((await Promise.all(sends)).every(({ status }) => status === 200 || status === 202)).toBe(true)
    most = Math.max(most, residentMebibytes())
  }
  expect(most).toBeLessThan(200)
})

measured('owed 200 events of a megabyte each, all to receivers that do not answer, it stays under 300 MB', async () => {
  const sink = await WebhookSink.start()
  sink.replyAlways('hang')
  const webhooks = await Promise.all(users.map((user) => createWebhook(user, { url: sink.url, event_types: ['*'] })))
  await app.db.query(
    `with told as (
       insert into events (public_id, user_id, position, type, payload)
       select 'evt_' || gen_random_uuid(), user_id, 1000 + n, 'message.received', json_build_object('text', repeat('x', $3))
         from unnest($1::bigint[]) user_id, generate_series(1, 10) n
       returning id, user_id),
     owed as (
       insert into deliveries (event_id, webhook_id)
       select t.id, w.id from told t join unnest($1::bigint[], $2::bigint[]) as w (user_id, id) using (user_id))
     update webhook_queues set due_at = now() where webhook_id = any($2::bigint[])`,
    [users.map(({ id }) => id), webhooks.map(({ id }) => id), MEBIBYTE],
  )
  let most = 0
  // Who finds no room beside the others comes when those have timed out.
  await eventually(() => {
    most = Math.max(most, residentMebibytes())
    return Promise.resolve(sink.received.length >= 8)
  })
  sink.letGo(410)
  await sink.stop()
  expect(most).toBeLessThan(300)
})

measured(
  'with twenty large files sent at once by as many users, it stays under 384 MB, and all of them are taken',
  async () => {
    const file = Buffer.concat([Buffer.from('%PDF-1.4\n'), randomBytes(12 * MEBIBYTE)]).toString('base64')
    // Before the bodies are made: that takes longer here than a connection to the database may.
    const { rows } = await app.db.query<{ user_id: number; token: string }>(
      `select distinct on (user_id) user_id, token from phone_numbers where display_name = 'Many' order by user_id`,
    )
    const tokens = new Map(rows.map(({ user_id, token }) => [user_id, token]))
    let most = 0
    const timer = setInterval(() => (most = Math.max(most, residentMebibytes())), 20)
    const statuses = await Promise.all(
      users.map(async (user) => {
        const body = { token: tokens.get(user.id), number: '628000000003', mediaType: 'document', base64: file }
        return (await app.as(user, child).post('/api/messages/send-media?wait=3', body)).status
      }),
    ).finally(() => clearInterval(timer))
    expect(new Set(statuses)).toEqual(new Set([202]))
    expect(most).toBeLessThan(384)
  },
)
