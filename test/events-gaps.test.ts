import * as gaps from '../src/db/gaps.js'
import { type TestApp, type TestNumber, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phone: TestNumber
// Nobody works here without being asked.
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
  user = await app.createUser()
  phone = await app.connectedNumber(user)
  await app.ctx.gaps.watch()
})
afterAll(() => app.stop())

interface Told {
  data: { message: { content: { text: string } } }
}

const controls = () => app.sandboxes[0]!.controls
const receivedTexts = async () =>
  ((await user.get('/api/events?types=message.received&limit=500')).body.events as Told[]).map(
    (event) => event.data.message.content.text,
  )
const gapEvents = async () =>
  (await user.get('/api/events?types=gap')).body.events as { data: { from: string; to: string } }[]

async function send(text: string): Promise<number> {
  const body = { token: phone.token, number: '628000000001', text }
  const { id } = (await user.post('/api/messages/send-text?wait=0', body)).body.message as { id: number }
  await app.ctx.lanes.runDue()
  await eventually(async () => (await statusOf(id)) === 'sent')
  return id
}

const statusOf = async (id: number) => (await user.get(`/api/messages/${id}`)).body.message.status

/** The engine stores what comes, but its webhooks are lost: as when it dies before it could repeat them. */
async function missed(texts: string[], meanwhile: () => Promise<void> = () => Promise.resolve()) {
  const webhook = await app.db.query<{ url: string }>('select url from servers limit 1')
  const url = `${webhook.rows[0]!.url}/webhook/set/${phone.engine_name}`
  const set = (enabled: boolean) => {
    const { url: to, headers } = app.ctx.instances.webhookOf(phone.engine_name)
    const events = enabled ? ['MESSAGES_UPSERT', 'CONNECTION_UPDATE'] : []
    return fetch(url, {
      method: 'POST',
      headers: { apikey: app.server.context.config.engine.api_key, 'content-type': 'application/json' },
      body: JSON.stringify({ webhook: { enabled, url: to, headers, byEvents: false, base64: false, events } }),
    })
  }
  await set(false)
  for (const text of texts) controls().incoming(phone.engine_name, { chat: '628000000009', text })
  await meanwhile()
  await set(true)
}

const outage = (seconds: number) =>
  app.db.query(`update server_sights set seen_at = now() - make_interval(secs => $1)`, [seconds])

async function seeServers() {
  await app.crew.monitor.checkAll()
  await app.ctx.gaps.watch()
}

it('fetches what a number missed while its engine was away, each once, with what was typed on the phone', async () => {
  controls().incoming(phone.engine_name, { chat: '628000000009', text: 'before' })
  await eventually(async () => (await receivedTexts()).length === 1)
  const many = Array.from({ length: 120 }, (_, n) => `missed ${n}`)
  await missed(many, async () => {
    controls().typed(phone.engine_name, { chat: '628000000009', text: 'typed on the phone' })
    await send('sent by us')
  })
  await outage(300)
  await seeServers()
  expect(await app.ctx.gaps.runDue()).toBe(1)
  expect(await app.ctx.gaps.runDue()).toBe(0)
  const texts = (await receivedTexts()).filter((text) => !text.startsWith('Echo'))
  expect(texts[0]).toBe('before')
  expect(texts.slice(1).sort()).toEqual(many.sort())
  const typed = (await user.get('/api/events?types=message.sent_from_phone')).body.events as Told[]
  expect(typed.map((event) => event.data.message.content.text)).toEqual(['typed on the phone'])
  expect(await gapEvents()).toEqual([])
  await outage(300)
  await seeServers()
  await app.ctx.gaps.runDue()
  expect((await receivedTexts()).filter((text) => text.startsWith('missed'))).toHaveLength(120)
})

it('learns how a message fared whose receipts were lost', async () => {
  let id = 0
  await missed([], async () => {
    id = await send('was it read?')
    await eventually(() => Promise.resolve(controls().pendingWebhooks === 0))
  })
  expect(await statusOf(id)).toBe('sent')
  await eventually(async () => {
    await app.db.query('delete from ingress_keys') // what is asked for again is not taken for a repetition
    await outage(300)
    await seeServers()
    await app.ctx.gaps.runDue()
    return (await statusOf(id)) === 'read'
  })
})

it('takes one missed check for no outage', async () => {
  await outage(25)
  await seeServers()
  expect(await app.ctx.gaps.runDue()).toBe(0)
})

it('tells the window that could not be fetched', async () => {
  await outage(600)
  await seeServers()
  controls().setTroubles({ refuse: '503' }, phone.engine_name)
  controls().setTroubles({ refuse: '503' })
  for (let n = 1; n <= 8; n++) {
    expect(await gapEvents()).toEqual([])
    await app.ctx.gaps.runDue()
    app.ctx.clock.now = () => new Date(Date.now() + n * 3_600_000)
  }
  controls().clearTroubles()
  app.ctx.clock.now = () => new Date()
  const [event] = await gapEvents()
  expect(event).toMatchObject({ phone_number: { id: phone.id }, data: { reason: 'engine_not_answering', fetched: 0 } })
  expect(Date.parse(event!.data.to) - Date.parse(event!.data.from)).toBeGreaterThan(600_000)
  expect((await app.db.query('select 1 from gaps')).rowCount).toBe(0)
})

it('looks back when a socket was opened anew', async () => {
  await app.db.query(`update phone_numbers set first_connected_at = now() - interval '1 hour' where id = $1`, [
    phone.id,
  ])
  await missed(['lost with the memory of the engine'])
  controls().disconnect(phone.engine_name, 408)
  await eventually(async () => (await app.db.query('select 1 from gaps')).rowCount === 1)
  app.ctx.clock.now = () => new Date(Date.now() + 30_000)
  expect(await app.ctx.gaps.runDue()).toBe(1)
  app.ctx.clock.now = () => new Date()
  expect(await receivedTexts()).toContain('lost with the memory of the engine')
})

it('knows an adopted instance by the name it has, also one that ends like a later life', async () => {
  const found = async () => (await app.db.query<{ id: number }>('select phone_number_id as id from gaps')).rows
  const adopted = await app.connectedNumber(user)
  await app.db.query(
    `update phone_numbers set instance_name = 'cashier_g3', first_connected_at = now() - interval '1 hour' where id = $1`,
    [adopted.id],
  )
  const opened = { event: 'connection.update', data: { state: 'open', statusReason: 200 } }
  expect((await app.engineSays('cashier_g3', opened)).status).toBe(200)
  await eventually(async () => (await found()).some(({ id }) => id === adopted.id))
  await app.db.query('delete from gaps where phone_number_id = $1', [adopted.id])
})

it('is done with a gap that was filled', async () => {
  const { id, instance_name } = await app.connectedNumber(user)
  await app.db.query(`update phone_numbers set first_connected_at = now() - interval '1 day' where id = $1`, [id])
  await gaps.openForInstance(app.db, [instance_name], { back_seconds: 900, settle_seconds: 0 })
  expect([await app.ctx.gaps.runDue(), await app.ctx.gaps.runDue()]).toEqual([1, 0])
})

it('looks once more, when it is over, at a socket that is opened again and again', async () => {
  const reopen = async () => {
    const { status } = await app.engineSays(phone.engine_name, {
      event: 'connection.update',
      data: { state: 'open', statusReason: 200 },
      date_time: new Date().toISOString() + Math.random(),
    })
    expect(status).toBe(200)
  }
  await missed(['lost by a second restart'])
  const windows = async () => (await app.db.query<{ until_at: Date }>('select until_at from gaps')).rows
  // The socket of the story before may be told of only now; then the first of these is not the second yet.
  await eventually(async () => {
    await reopen()
    return (await windows()).some(({ until_at }) => until_at.getTime() > Date.now() + 60_000)
  })
  const [{ until_at }] = (await windows()) as [{ until_at: Date }]
  for (let n = 0; n < 3; n++) await reopen()
  expect((await windows())[0]!.until_at).toEqual(until_at)
  expect(await app.ctx.gaps.runDue()).toBe(0)
  app.ctx.clock.now = () => new Date(until_at.getTime() + 1_000)
  expect(await app.ctx.gaps.runDue()).toBe(1)
  app.ctx.clock.now = () => new Date()
  expect(await receivedTexts()).toContain('lost by a second restart')
})
