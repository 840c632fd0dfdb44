import { startChild } from './support/child-server.js'
import { zoneAtNoon } from './support/sending.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phones: ConnectedNumber[]
beforeAll(async () => {
  app = await startTestApp({ servers: 1, env: { DEFAULT_TIME_ZONE: zoneAtNoon() }, sandbox: { slow_ms: 400 } })
  user = await app.createUser()
  phones = await Promise.all([1, 2, 3, 4, 5].map(() => app.connectedNumber(user)))
  app.sandboxes[0]!.controls.teachRecipient('628555000111', { wait: 'slow' })
})
afterAll(() => app.stop())

it('a process killed in the middle of 50 sends loses none, doubles none, and leaves none in sending', async () => {
  const child = await startChild(app)
  const client = app.as(user, child)
  const { ledger } = app.sandboxes[0]!.controls
  const accepted: number[] = []
  const sends = Array.from({ length: 50 }, async (_, i) => {
    const number = i % 10 === 9 ? '628555000111' : '628000000003' // some are in the middle of it for long
    const call = client.post('/api/messages/send-text?wait=1', {
      token: phones[i % 5]!.token,
      number,
      text: `Kill ${i}`,
    })
    const answer = await call.catch(() => undefined) // the connection broke: nobody was told anything
    if (answer?.body.message) accepted.push(answer.body.message.id as number)
  })
  await eventually(() => Promise.resolve(ledger.total >= 15))
  await child.end('SIGKILL')
  await Promise.all(sends)
  const held = await app.db.query(`select 1 from messages where status = 'sending' and process_id = $1`, [
    child.process_id,
  ])
  expect(held.rowCount).toBeGreaterThan(0) // else the kill has proved nothing

  // Fifteen seconds without a heartbeat have passed.
  await app.db.query(`update processes set heartbeat_at = now() - interval '16 s' where id = $1`, [child.process_id])
  await app.ctx.membership.buryDead()
  const again = await startChild(app)
  await app.ctx.lanes.runDue()
  const { rows } = await app.db.query<{ id: number }>('select id from messages')
  const open = async () => (await app.db.query(`select 1 from messages where status in ('queued', 'sending')`)).rowCount
  await eventually(async () => (await open()) === 0, 30_000)
  await again.end('SIGTERM')

  const stored = new Set(rows.map(({ id }) => id))
  expect(accepted.filter((id) => !stored.has(id))).toEqual([])
  const states = await app.db.query<{ status: string; text: string }>(
    `select status, content->>'text' as text from messages`,
  )
  const counts = new Map(ledger.countsOf().map(({ text, count }) => [text, count]))
  expect([...counts.values()].filter((count) => count > 1)).toEqual([])
  for (const { status, text } of states.rows) {
    expect(status).toMatch(/^(sent|delivered|read|unconfirmed)$/)
    if (status !== 'unconfirmed') expect([text, counts.get(text)]).toEqual([text, 1])
  }
  const { rows: usage } = await app.db.query('select used from daily_usage')
  expect(usage).toEqual([{ used: states.rows.length }])
}, 60_000)
