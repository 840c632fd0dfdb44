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
