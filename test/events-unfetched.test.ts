import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import * as gaps from '../src/db/gaps.js'
import { standBefore } from './support/engine-proxy.js'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

// What the engine has stored and does not give, or gives and nobody can keep. Nobody works here without being asked.
let app: TestApp
let user: TestUser
let engine: Awaited<ReturnType<typeof standBefore>>
beforeEach(async () => {
  app = await startTestApp({ env: { ROLE: 'api', ADMIN_API_KEY: ADMIN_KEY } })
  user = await app.createUser()
  await numberOn('sandbox-1')
  engine = await standBefore(app, 'sandbox-1')
  await app.crew.monitor.checkAll()
  await app.ctx.gaps.watch()
  await app.db.query('delete from gaps') // the first socket's
})
afterEach(async () => {
  await engine.leave()
  await app.stop()
})

async function numberOn(server: string): Promise<ConnectedNumber> {
  for (;;) {
    const number = await app.connectedNumber(user)
    await app.db.query(`update phone_numbers set first_connected_at = now() - interval '1 day' where id = $1`, [
      number.id,
    ])
    if (number.controls === app.sandboxes.find(({ name }) => name === server)!.controls) return number
  }
}

const asksForMessages = (req: IncomingMessage) => req.url!.startsWith('/chat/findMessages/')
/** The engine's whole store, one page. */
const gives = (records: object[]) => {
  engine.instead = (req, res) => {
    if (!asksForMessages(req)) return false
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify({ messages: { total: records.length, pages: 1, currentPage: 1, records } }))
    return true
  }
}
const refuses = () => {
  engine.instead = (req, res) => {
    if (!asksForMessages(req)) return false
    res.writeHead(500).end('{}')
    return true
  }
}
const record = (id: string, text: string, more: object = {}) => ({
  key: { id, remoteJid: '628000000009@s.whatsapp.net', fromMe: false },
  messageType: 'conversation',
  message: { conversation: text },
  messageTimestamp: Math.floor(Date.now() / 1000) - 100,
  source: 'android',
  ...more,
})
const ago = (seconds: number) => new Date(Date.now() - seconds * 1000)
const outage = (from: number, to: number, server_name = 'sandbox-1') =>
  gaps.openForServer(app.db, { server_name, from_at: ago(from), until_at: ago(to) }, 120)
const inHours = (hours: number) => (app.ctx.clock.now = () => new Date(Date.now() + hours * 3_600_000))
const gapRows = async () =>
  (await app.db.query<{ id: number }>('select phone_number_id as id from gaps order by 1')).rows
const told = async () =>
  (await user.get('/api/events?types=gap')).body.events as { data: { from: string; to: string; reason: string } }[]

it('one record that the database refuses is kept as it came, and the rest arrives', async () => {
  const tooLong = randomBytes(6_000).toString('hex')
  gives([record('NEW', 'newer'), record(tooLong, 'odd'), record('OLD', 'older')])
  await outage(300, 1)
  await app.ctx.gaps.runDue()
  const { messages } = (await user.get('/api/messages?direction=incoming')).body
  expect(messages.map(({ whatsapp_id }: { whatsapp_id: string }) => whatsapp_id).sort()).toEqual(['NEW', 'OLD'])
  expect([await gapRows(), await told()]).toEqual([[], []])
  const { rows } = await app.db.query<{ reason: string }>('select reason from unprocessed_events')
  expect(rows).toEqual([{ reason: expect.stringMatching(/^refused: /) }])
})

it('tells how far a message has come that was typed on the phone', async () => {
  const key = { id: 'TYPED', remoteJid: '628000000009@s.whatsapp.net', fromMe: true }
  gives([record('TYPED', 'typed', { key, MessageUpdate: [{ status: 'DELIVERY_ACK' }, { status: 'READ' }] })])
  await outage(300, 1)
  await app.ctx.gaps.runDue()
  const { events } = (await user.get('/api/events?types=message.sent_from_phone,message.status')).body
  expect(events.map(({ type, data }: Told) => [type, data.message.status])).toEqual([
    ['message.sent_from_phone', undefined],
    ['message.status', 'read'],
  ])
})

interface Told {
  type: string
  data: { message: { status?: string } }
}

it('a new outage has all tries before it, whatever is left of an old one', async () => {
  refuses()
  await outage(7_200, 7_000)
  for (let n = 1; n <= 7; n++) {
    await app.ctx.gaps.runDue()
    inHours(n)
  }
  inHours(0)
  await outage(300, 1)
  await app.ctx.gaps.runDue()
  expect([await told(), (await gapRows()).length]).toEqual([[], 1])
  gives([record('AFTER', 'all is well')])
  inHours(8)
  await app.ctx.gaps.runDue()
  expect([await told(), await gapRows()]).toEqual([[], []])
})

it('an engine that does not answer holds up nobody on another', async () => {
  const others = [await numberOn('sandbox-2'), await numberOn('sandbox-2')]
  const hanging: ServerResponse[] = []
  engine.instead = (req, res) => asksForMessages(req) && hanging.push(res) > 0
  await outage(300, 1)
  await outage(300, 1, 'sandbox-2')
  const slow = (await gapRows()).filter(({ id }) => !others.some((other) => other.id === id))
  const rounds = [app.ctx.gaps.runDue()]
  await eventually(() => Promise.resolve(hanging.length === 1))
  await eventually(async () => (await gapRows()).length === slow.length + 1)
  rounds.push(app.ctx.gaps.runDue())
  await eventually(async () => (await gapRows()).length === slow.length)
  expect(hanging).toHaveLength(1) // one at a time, and the other was not asked again meanwhile
  for (const res of hanging) res.writeHead(500).end('{}')
  await Promise.all(rounds)
})

it('a parked number has no gaps: what it missed was told when it was parked', async () => {
  await app.db.query(`update server_sights set seen_at = now() - interval '5 hours' where server_name = 'sandbox-1'`)
  const { rows } = await app.db.query<{ id: number }>(
    `select id from phone_numbers where server_instance = 'sandbox-1'`,
  )
  for (const { id } of rows) await app.ctx.changes.park(id, 'suspended')
  expect((await told()).map(({ data }) => data.reason)).toEqual(rows.map(() => 'instance_removed'))
  await app.crew.monitor.checkAll()
  await app.ctx.gaps.watch()
  expect(await gapRows()).toEqual([])
})

it('what a number of a lost server missed is told when it gets a new home, as nobody can fetch it there', async () => {
  await app.db.query(`update server_sights set seen_at = now() - interval '5 hours' where server_name = 'sandbox-1'`)
  await outage(18_000, 17_900)
  const operator = operatorOf(app.url)
  expect((await operator.post('/servers/sandbox-1/evacuate', { force: true })).status).toBe(200)
  expect(await gapRows()).toEqual([])
  const events = await told()
  expect(events.length).toBeGreaterThan(0)
  const [{ data }] = events as [{ data: { from: string; to: string; reason: string } }]
  expect(data).toMatchObject({ reason: 'instance_removed' })
  expect(Date.parse(data.to) - Date.parse(data.from)).toBeGreaterThan(5 * 3_600_000)
})

it('is told too when its server is not to be asked for as long as all tries take', async () => {
  await outage(300, 1)
  await app.db.query(`update servers set healthy = false, down_since = now() where name = 'sandbox-1'`)
  inHours(1)
  await app.ctx.gaps.runDue()
  expect(await told()).toEqual([])
  await app.db.query(`update servers set healthy = false, down_since = now() where name = 'sandbox-1'`)
  inHours(2)
  await app.ctx.gaps.runDue()
  expect([(await told()).map(({ data }) => data.reason), await gapRows()]).toEqual([
    expect.arrayContaining(['engine_not_answering']),
    [],
  ])
})
