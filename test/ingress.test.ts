import { ENGINE_KEY, type ConnectedNumber, type TestApp, type TestUser, startTestApp } from './support/test-app.js'
import { ingressSecret } from '../src/services/instances.js'

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(() => app.stop())

let n = 0
/** An incoming text as Evolution posts it. */
const upsert = (text: string, key: object = {}) => ({
  event: 'messages.upsert',
  instance: phone.engine_name,
  data: {
    key: { id: `3A${++n}`, remoteJid: '628111222333@s.whatsapp.net', fromMe: false, ...key },
    pushName: 'Ana',
    message: { conversation: text },
    messageType: 'conversation',
    messageTimestamp: Math.floor(Date.now() / 1000),
  },
  destination: 'http://inside/hook',
  server_url: 'http://inside',
  apikey: 'THE-INSTANCES-OWN-KEY',
})
const stored = async () => {
  const { rows } = await app.db.query(`select content->>'text' as text from messages order by id`)
  return rows.map(({ text }) => text as string)
}
const unprocessed = async () => (await app.db.query('select * from unprocessed_events order by id')).rows
const statusOf = async () => (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
const connection = (state: string, statusReason: number) => ({
  event: 'connection.update',
  data: { state, statusReason },
})

it('answers 200 once the event is stored', async () => {
  const answer = await app.engineSays(phone.engine_name, upsert('Hello'))
  expect([answer.status, answer.body]).toEqual([200, { success: true }])
  expect(await stored()).toEqual(['Hello'])
})

it('stores an event once, whether it is repeated byte by byte or told again in other words', async () => {
  const body = JSON.stringify(upsert('Only once'))
  const again = { ...JSON.parse(body), date_time: 'later' }
  const repeats = [body, body, JSON.stringify(again), body]
  for (const repeat of repeats) expect((await app.engineSays(phone.engine_name, repeat)).status).toBe(200)
  const burst = JSON.stringify(upsert('Once in a burst'))
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.engineSays(phone.engine_name, burst)))
  expect(answers.every(({ status }) => status === 200)).toBe(true)
  expect((await stored()).filter((text) => text.startsWith('Only') || text.startsWith('Once'))).toEqual([
    'Only once',
    'Once in a burst',
  ])
  const events = await app.db.query(
    `select 1 from events where type = 'message.received' and payload::text like '%nce%'`,
  )
  expect(events.rowCount).toBe(2)
  expect((await user.get('/api/statistics')).body.statistics.totals.messages_received).toBe(3)
})

it.each([
  ['no secret', ''],
  ['a wrong one', 'f'.repeat(64)],
  ['the secret of another instance', ingressSecret(ENGINE_KEY, 'user_1_1700000000000_deadbeef_g1')],
  ['the secret of another generation', 'g2'],
  ['the global key itself', ENGINE_KEY],
])('refuses an event with %s and stores nothing', async (_what, secret) => {
  const before = await stored()
  const forged = secret === 'g2' ? ingressSecret(ENGINE_KEY, phone.engine_name.replace('_g1', '_g2')) : secret
  const answer = await app.engineSays(phone.engine_name, upsert('Forged'), forged)
  expect([answer.status, answer.body.error.code]).toEqual([401, 'unauthorized'])
  expect(await app.engineSays(phone.engine_name, '{broken', forged)).toMatchObject({ status: 401 })
  expect(await stored()).toEqual(before)
  expect(await unprocessed()).toEqual([])
})

it('keeps what it cannot understand, without the key of the instance, and says 200', async () => {
  const broken = '{"event":"messages.upsert","apikey":"THE-INSTANCES-OWN-KEY","data":{"key"'
  expect((await app.engineSays(phone.engine_name, broken)).status).toBe(200)
  const strange = upsert('x', { id: undefined })
  expect((await app.engineSays(phone.engine_name, strange)).status).toBe(200)
  for (const body of ['null', '7', '[]', '""', '{}', '{"event":7,"data":null}', '{"event":"messages.upsert"}', '\0'])
    expect((await app.engineSays(phone.engine_name, body)).status).toBe(200)
  const kept = await unprocessed()
  expect(kept.length).toBeGreaterThan(2)
  expect(kept[0]).toMatchObject({ engine_name: phone.engine_name, size: broken.length })
  expect(kept[0]!.body).toContain('messages.upsert')
  expect(JSON.stringify(kept)).not.toContain('THE-INSTANCES-OWN-KEY')
})

it('keeps the beginning of an event that is too large, and says 200', async () => {
  const large = JSON.stringify(upsert('x'.repeat(6 * 1024 * 1024)))
  const before = await stored()
  expect((await app.engineSays(phone.engine_name, large)).status).toBe(200)
  expect((await unprocessed()).at(-1)).toMatchObject({ reason: 'too large', size: large.length })
  expect(await stored()).toEqual(before)
})

it('stores what PostgreSQL could not, cleaned', async () => {
  const wild = JSON.stringify(upsert('NUL <0> half <1>')).replace('<0>', '\\u0000').replace('<1>', '\\ud83d')
  expect((await app.engineSays(phone.engine_name, wild)).status).toBe(200)
  expect((await stored()).at(-1)).toBe('NUL  half \ufffd')
})

it('says 200 for instances it does not know and events it has no use for', async () => {
  const before = await stored()
  for (const name of ['user_1_1700000000000_deadbeef_g1', 'somebody-elses', '../../etc', 'ü_g1'])
    expect((await app.engineSays(name, upsert('For nobody'))).status).toBe(200)
  for (const event of ['presence.update', 'chats.upsert', 'application.startup', 'no.such.event'])
    expect((await app.engineSays(phone.engine_name, { event, data: {} })).status).toBe(200)
  expect(await stored()).toEqual(before)
})

it('lets events of an earlier life tell messages, but not the state', async () => {
  await app.db.query('update phone_numbers set engine_generation = 2 where id = $1', [phone.id])
  await app.engineSays(phone.engine_name, connection('close', 401))
  await app.engineSays(phone.engine_name, upsert('Written before the new life'))
  expect(await statusOf()).toMatchObject({ status: 'connected', status_reason: null })
  expect((await stored()).at(-1)).toBe('Written before the new life')
  await app.engineSays(phone.engine_name.replace('_g1', '_g2'), connection('close', 401))
  expect(await statusOf()).toMatchObject({ status: 'disconnected', status_reason: 'logged_out' })
})

it('takes what comes with the event in its path, as when somebody has switched byEvents on', async () => {
  const answer = await app.engineSays(phone.engine_name, upsert('By events'), undefined, 'messages-upsert')
  expect(answer.status).toBe(200)
  expect((await stored()).at(-1)).toBe('By events')
})

it('hears nothing of a deleted number any more', async () => {
  const other = await app.connectedNumber(user)
  await user.delete(`/api/phone-numbers/${other.id}`)
  const before = await stored()
  expect((await app.engineSays(other.engine_name, upsert('Too late'))).status).toBe(200)
  expect(await stored()).toEqual(before)
})
