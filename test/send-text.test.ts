import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp({ sandbox: { hang_seconds: 0.3, slow_ms: 300 } })
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(() => app.stop())

let count = 0
const send = (fields: object, query = '') =>
  user.post(`/api/messages/send-text${query}`, {
    token: phone.token,
    number: '628000000003',
    text: `Text ${++count}`,
    ...fields,
  })
const used = async () => (await user.get('/api/dashboard')).body.dashboard.usage_today.used as number
const stateOf = async (id: number) =>
  (await app.db.query<{ status: string }>('select status from messages where id = $1', [id])).rows[0]!.status

it('goes out once and answers what became of it, and what is left for today', async () => {
  const answer = await send({ text: 'Hello from WhatsApp API!' })
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({
    success: true,
    message: {
      id: expect.any(Number),
      phone_number_id: phone.id,
      direction: 'outgoing',
      type: 'text',
      recipient: '628000000003',
      status: 'sent',
      whatsapp_id: expect.stringMatching(/^3EB0/),
      error: null,
      created_at: expect.any(String),
      sent_at: expect.any(String),
    },
  })
  expect(answer.headers).toMatchObject({ 'x-quota-limit': '5000', 'x-quota-remaining': String(5000 - (await used())) })
  expect(Date.parse(answer.headers['x-quota-reset']!)).toBeGreaterThan(Date.now())
  expect(phone.controls.ledger.count(phone.engine_name, '628000000003', 'Hello from WhatsApp API!')).toBe(1)
})

it.each([
  ['a JSON integer', 628000000003],
  ['with a plus and spaces', '+62 800-0000-003'],
  ['with 00', '0062800000003'],
  ['national', '0800 0000 003'],
  ['as an address', '628000000003@s.whatsapp.net'],
])('reads a recipient %s', async (_how, number) => {
  const { body } = await send({ number })
  expect(body.message).toMatchObject({ status: 'sent', recipient: expect.stringMatching(/^62800000+3$/) })
})

it('reaches a group, and says so where the number is no member', async () => {
  const { body } = await send({ number: '120363000000000001@g.us', text: 'To all' })
  expect(body.message).toMatchObject({ status: 'sent', recipient: '120363000000000001@g.us' })
  expect(phone.controls.ledger.count(phone.engine_name, '120363000000000001@g.us', 'To all')).toBe(1)
  expectRefusal(await send({ number: '120363999999999999@g.us' }), 422, 'recipient_not_on_whatsapp')
})

it('costs nothing where the recipient has no WhatsApp', async () => {
  const before = await used()
  const refused = await send({ number: '628000000002' })
  expectRefusal(refused, 422, 'recipient_not_on_whatsapp')
  expect(refused.body.error.details.message).toMatchObject({ status: 'failed', recipient: '628000000002' })
  expect(await used()).toBe(before)
})

it('is followed to its reading', async () => {
  const { body } = await send({ number: '628111222333' })
  await eventually(async () => (await stateOf(body.message.id)) === 'read')
})

it('that WhatsApp refuses later ends as failed', async () => {
  const { body } = await send({ number: '628000000004' })
  expect(body.message.status).toBe('sent')
  await eventually(async () => (await stateOf(body.message.id)) === 'failed')
})

it('whose receipts overtake the answer of the engine ends as read', async () => {
  const { body } = await send({ number: '628000000013' })
  await eventually(async () => (await stateOf(body.message.id)) === 'read')
  expect((await app.db.query('select 1 from early_receipts')).rowCount).toBe(0)
})

it.each([
  ['answers with a database text', '628000000007'],
  ['answers with the page of a proxy', '628000000008'],
  ['breaks the connection', '628000000009'],
  ['breaks the connection and forgets', '628000000015'],
])('is unconfirmed, kept and never repeated where the engine %s', async (_how, number) => {
  const before = await used()
  const text = `Once to ${number}`
  const answer = await send({ number, text })
  expect(answer.status).toBe(202)
  expect(answer.body.message.error).toMatchObject({ code: 'no_clear_answer' })
  expect(await used()).toBe(before + 1)
  await app.ctx.lanes.runDue()
  await send({})
  expect(phone.controls.ledger.count(phone.engine_name, number, text)).toBe(1)
})

it('answers 202 to a caller who does not wait, and goes out all the same', async () => {
  const answer = await send({ number: '628000000012' }, '?wait=0') // the engine takes its time with this one
  expect(answer.status).toBe(202)
  expect(answer.body).toMatchObject({ success: true, message: { status: expect.stringMatching(/queued|sending/) } })
  await eventually(async () => (await stateOf(answer.body.message.id)) === 'read')
})

it('keeps the order of its lane', async () => {
  const texts = Array.from({ length: 20 }, (_, i) => `In order ${i}`)
  for (const text of texts) await send({ number: '628111222444', text }, '?wait=0')
  const sent = () => phone.controls.ledger.messagesOf({ recipient: '628111222444' }).map(({ text }) => text)
  await eventually(() => Promise.resolve(sent().length === 20))
  expect(sent()).toEqual(texts)
})

it('waits in its lane while the number is away, and goes out when it is back', async () => {
  const other = await app.connectedNumber(user)
  other.controls.setTroubles({ connection_closed: true }, other.engine_name)
  const { status, body } = await send({ token: other.token, text: 'Patience' }, '?wait=0.2')
  expect([status, body.message.status]).toEqual([202, 'queued'])
  other.controls.clearTroubles(other.engine_name)
  await app.db.query('update lanes set due_at = now() where phone_number_id = $1', [other.id])
  await eventually(async () => (await stateOf(body.message.id)) === 'sent')
  expect(other.controls.ledger.count(other.engine_name, '628000000003', 'Patience')).toBe(1)
})

it('needs a number that was linked, and a token of one’s own', async () => {
  const fresh = await user.post('/api/phone-numbers/create', { display_name: 'Not scanned' })
  expectRefusal(await send({ token: fresh.body.phone_number.token }), 409, 'phone_number_not_connected')
  const stranger = await app.createUser()
  const foreign = await app.connectedNumber(stranger)
  expectRefusal(await send({ token: foreign.token }), 404, 'not_found')
  expectRefusal(await send({ token: undefined }), 400, 'invalid_request')
  expectRefusal(await stranger.post('/api/messages/send-text', { from: 'auto' }), 400, 'invalid_request')
})

it('with from:"auto" takes the connected numbers in turn', async () => {
  const owner = await app.createUser()
  const numbers = [await app.connectedNumber(owner), await app.connectedNumber(owner), await app.connectedNumber(owner)]
  await owner.post('/api/phone-numbers/create', { display_name: 'Not scanned' })
  const senders: number[] = []
  for (let n = 0; n < 6; n++) {
    const { body } = await owner.post('/api/messages/send-text', {
      from: 'auto',
      number: '628000000003',
      text: `Turn ${n}`,
    })
    senders.push(body.message.phone_number_id)
  }
  for (const { id } of numbers) expect(senders.filter((sender) => sender === id)).toHaveLength(2)
  const lonely = await app.createUser()
  const none = await lonely.post('/api/messages/send-text', { from: 'auto', number: '628000000003', text: 'Hi' })
  expectRefusal(none, 409, 'phone_number_not_connected')
})

it('is understood urlencoded, as multipart, and under /api/v1', async () => {
  const fields = { token: phone.token, number: '628000000003', text: 'Äpfel & Birnen' }
  const form = await user.post('/api/messages/send-text').type('form').send(fields)
  expect(form.body.message).toMatchObject({ status: 'sent' })
  const multipart = await user.post('/api/v1/messages/send-text').field(fields)
  expect(multipart.body.message).toMatchObject({ status: 'sent' })
  expect(phone.controls.ledger.count(phone.engine_name, '628000000003', 'Äpfel & Birnen')).toBe(2)
})
