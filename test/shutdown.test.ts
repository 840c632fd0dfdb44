import { open } from 'node:fs/promises'
import { spawnServer, startChild } from './support/child-server.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phones: ConnectedNumber[]
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 300 } })
  user = await app.createUser()
  phones = [await app.connectedNumber(user), await app.connectedNumber(user)]
})
afterAll(() => app.stop())

const SLOW = '628000000012'
const count = async (where: string, ...values: unknown[]) =>
  (await app.db.query(`select 1 from messages where ${where}`, values)).rowCount
const sentTexts = () => app.sandboxes[0]!.controls.ledger.countsOf().filter(({ text }) => /^(Slow|Quick)/.test(text))

it('on SIGTERM every held request is answered, nothing is stuck, and another process sends the rest', async () => {
  const child = await startChild(app)
  const client = app.as(user, child)
  const send = (phone: ConnectedNumber, number: string, text: string) =>
    client.post('/api/messages/send-text?wait=60', { token: phone.token, number, text }).then((answer) => answer)
  const held = [
    ...Array.from({ length: 20 }, (_, i) => send(phones[i % 2]!, SLOW, `Slow ${i}`)),
    ...Array.from({ length: 10 }, (_, i) => send(phones[i % 2]!, '628000000003', `Quick ${i}`)),
  ]
  await eventually(async () => (await count('process_id is not null or status = $1', 'queued')) === 30)

  expect(await child.end('SIGTERM')).toBe(0)
  expect(await count(`status = 'sending' and process_id = $1`, child.process_id)).toBe(0)
  expect((await app.db.query('select 1 from processes where id = $1', [child.process_id])).rowCount).toBe(0)

  const answers = await Promise.all(held)
  expect(answers.every(({ status, body }) => [200, 202].includes(status) && body.message.id > 0)).toBe(true)
  const ids = answers.map(({ body }) => body.message.id as number)
  expect(new Set(ids).size).toBe(30)

  await app.ctx.lanes.runDue()
  await eventually(async () => (await count(`id = any($1) and status in ('queued', 'sending')`, ids)) === 0, 40_000)
  expect(sentTexts().filter((one) => one.count > 1)).toEqual([])
  const sent = await count(`id = any($1) and status in ('sent', 'delivered', 'read')`, ids)
  const unconfirmed = await count(`id = any($1) and status = 'unconfirmed'`, ids)
  expect(sent! + unconfirmed!).toBe(30)
  expect(sentTexts()).toHaveLength(30)
}, 60_000)

it('says so to load balancers while it stops, and takes no new calls', async () => {
  const child = await startChild(app)
  expect((await fetch(`${child.url}/readyz`)).status).toBe(200)
  const held = app
    .as(user, child)
    .post('/api/messages/send-text', { token: phones[0]!.token, number: SLOW, text: 'Last' })
  const answer = held.then(({ status }) => status)
  await eventually(async () => (await count(`content->>'text' = 'Last' and status = 'sending'`)) === 1)
  const ended = child.end('SIGTERM')
  expect(await answer).toBe(202)
  expect(await ended).toBe(0)
  await expect(fetch(`${child.url}/livez`)).rejects.toThrow()
  expect(sentTexts().length).toBeGreaterThan(0)
})

// At `warn` the first line that cannot be written is one of the stop.
it.each(['info', 'warn'])(
  'a server whose log is on a full disk serves, and ends when it is asked to (%s)',
  async (level) => {
    const full = await open('/dev/full', 'a')
    const { child, url, exited } = await spawnServer(app, { LOG_LEVEL: level }, full.fd)
    await full.close()
    const isReady = () =>
      fetch(`${url}/readyz`).then(
        ({ status }) => status === 200,
        () => false,
      )
    await eventually(isReady, 20_000)
    const replica = app.as(user, { url })
    expect((await replica.get('/api/user/profile')).status).toBe(200)
    for (const { controls } of app.sandboxes) controls.setTroubles({ refuse: '503' })
    expect((await replica.post('/api/phone-numbers/create', { display_name: 'Shop' })).status).toBe(503) // a warning
    for (const { controls } of app.sandboxes) controls.clearTroubles()
    child.kill('SIGTERM')
    const tooLong = setTimeout(() => child.kill('SIGKILL'), 20_000)
    expect(await exited).toEqual([0, null])
    clearTimeout(tooLong)
  },
)
