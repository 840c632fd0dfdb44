import { randomBytes } from 'node:crypto'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

it('an event that the database refuses for another reason than the event itself is asked for again', async () => {
  const { phone } = await newSender(app)
  const event = {
    event: 'messages.upsert',
    data: {
      key: { id: 'ASKEDAGAIN', remoteJid: '628111222333@s.whatsapp.net', fromMe: false },
      message: { conversation: 'Do not lose me' },
      messageType: 'conversation',
      messageTimestamp: Math.floor(Date.now() / 1000),
    },
  }
  await app.db.query('alter table messages rename to messages_away')
  const refused = await app.engineSays(phone.engine_name, event)
  await app.db.query('alter table messages_away rename to messages')
  expect(refused.status).toBe(503)
  expect((await app.engineSays(phone.engine_name, event)).status).toBe(200)
  const { rows } = await app.db.query(`select content->>'text' as text from messages where whatsapp_id = 'ASKEDAGAIN'`)
  expect(rows).toEqual([{ text: 'Do not lose me' }])
  expect((await app.db.query('select 1 from unprocessed_events')).rowCount).toBe(0)
})

it('a receipt that comes while its message is being settled is not lost', async () => {
  const { phone, queue, show, becomes } = await newSender(app)
  const id = await queue(QUIET, 'settled just now')
  await becomes(id, 'sent')
  const { whatsapp_id } = await show(id)
  await app.db.query(`update messages set status = 'sending', whatsapp_id = null where id = $1`, [id])
  let told: Promise<number> | undefined
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from lanes where phone_number_id = $1 for update', [phone.id])
    const receipt = {
      event: 'messages.update',
      data: { keyId: whatsapp_id, remoteJid: `${QUIET}@s.whatsapp.net`, fromMe: true, status: 'READ' },
    }
    told = app.engineSays(phone.engine_name, receipt).then(({ status }) => status)
    let answered = false
    void told.then(() => (answered = true))
    await eventually(async () => answered || (await app.lockWaiters()) > 0)
    await tx.query(`update messages set status = 'sent', whatsapp_id = $2 where id = $1`, [id, whatsapp_id])
  })
  expect(await told).toBe(200)
  expect((await show(id)).status).toBe('read')
})

const textOf = (id: string, more: object = {}) => ({
  event: 'messages.upsert',
  data: {
    key: { id, remoteJid: '628111222333@s.whatsapp.net', fromMe: false, ...more },
    message: { conversation: 'Hello' },
    messageType: 'conversation',
    messageTimestamp: Math.floor(Date.now() / 1000),
  },
})
const readOf = (keyId: string) => ({
  event: 'messages.update',
  data: { keyId, remoteJid: '628111222333@s.whatsapp.net', fromMe: true, status: 'READ' },
})

it('an id that no index can hold does not come again and again: it is kept as it came, its neighbours as ever', async () => {
  const { phone } = await newSender(app)
  const [long, unknown] = [textOf(randomBytes(6_000).toString('hex')), { event: 'a.new-one', data: { of: 'tomorrow' } }]
  const bodies = [textOf('BEFORE'), long, textOf('AFTER'), unknown]
  const answers = await Promise.all(bodies.map((body) => app.engineSays(phone.engine_name, body)))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  const { rows } = await app.db.query<{ id: string }>(
    `select whatsapp_id as id from messages where phone_number_id = $1 order by id`,
    [phone.id],
  )
  expect(rows.map(({ id }) => id).sort()).toEqual(['AFTER', 'BEFORE'])
  const kept = await app.db.query<{ reason: string }>(
    'select reason from unprocessed_events where engine_name = $1 order by reason',
    [phone.engine_name],
  )
  expect(kept.rows.map(({ reason }) => reason)).toEqual([
    expect.stringMatching(/^refused: /),
    'the event "a.new.one" is not known',
  ])
  await app.db.query('delete from unprocessed_events')
})

it('what is told at once keeps the order of the engine, whatever kind it is of', async () => {
  const { user, phone } = await newSender(app)
  const key = (id: string) => ({ id, remoteJid: '628111222333@s.whatsapp.net', fromMe: false })
  const bodies = [
    textOf('ONE'),
    { event: 'messages.delete', data: key('ONE') },
    textOf('TYPED', { fromMe: true }),
    { event: 'messages.edited', data: { key: key('TWO'), editedMessage: { conversation: 'Edited' } } },
    readOf('TYPED'),
    textOf('THREE'),
    { event: 'connection.update', data: { state: 'close', statusReason: 401 } },
  ]
  await app.db.transaction(async (tx) => {
    // Held up here, they come into one commit.
    await tx.query('select 1 from phone_numbers where id = $1 for update', [phone.id])
    const first = app.engineSays(phone.engine_name, textOf('ZERO')).then((answer) => answer)
    await eventually(async () => (await app.lockWaiters()) > 0)
    const rest = []
    for (const [n, body] of bodies.entries()) {
      rest.push(app.engineSays(phone.engine_name, body).then((answer) => answer))
      await eventually(() => Promise.resolve(app.ctx.ingress.depth === n + 1))
    }
    void Promise.all([first, ...rest])
  })
  interface Told {
    type: string
    data: { message?: { whatsapp_id: string } }
  }
  const told = async () => (await user.get('/api/events')).body.events as Told[]
  await eventually(async () => (await told()).some(({ type }) => type === 'phone_number.disconnected'))
  const names = (await told()).map(({ type, data }) => `${type} ${data.message?.whatsapp_id ?? ''}`.trim())
  expect(names.slice(names.indexOf('message.received ZERO'))).toEqual([
    'message.received ZERO',
    'message.received ONE',
    'message.deleted ONE',
    'message.sent_from_phone TYPED',
    'message.edited TWO',
    'message.status TYPED',
    'message.received THREE',
    'phone_number.disconnected',
  ])
})

it('a receipt that overtakes the message it is about waits for it, also for one typed on the phone', async () => {
  const { user, phone } = await newSender(app)
  for (const body of [readOf('OVERTAKEN'), textOf('OVERTAKEN', { fromMe: true })])
    expect((await app.engineSays(phone.engine_name, body)).status).toBe(200)
  const { messages } = (await user.get('/api/messages?direction=outgoing')).body
  expect(messages).toMatchObject([{ whatsapp_id: 'OVERTAKEN', status: 'read' }])
  const { events } = (await user.get('/api/events?types=message.sent_from_phone,message.status')).body
  expect(events.map(({ type }: { type: string }) => type)).toEqual(['message.sent_from_phone', 'message.status'])
})

it('an edit that the engine repeats byte by byte is told once', async () => {
  const { user, phone } = await newSender(app)
  const key = { id: 'EDITED', remoteJid: '628111222333@s.whatsapp.net', fromMe: false }
  const edit = JSON.stringify({
    event: 'messages.edited',
    data: { key, type: 'MESSAGE_EDIT', editedMessage: { conversation: 'First' } },
  })
  for (let n = 0; n < 2; n++) expect((await app.engineSays(phone.engine_name, edit)).status).toBe(200)
  expect((await user.get('/api/events?types=message.edited')).body.events).toHaveLength(1)
})
