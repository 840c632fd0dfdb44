import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await app.connectedNumber(user, { webhook_url: sink.url, receive_groups: true, metadata: { shop: 7 } })
  const all = ['message.received', 'message.sent_from_phone', 'message.status', 'message.edited', 'message.deleted']
  await app.db.query('update webhooks set event_types = $1', [all])
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

const ANA = '628111222333'
/** What the webhook was told about one message of WhatsApp. */
const told = (whatsapp_id: string) =>
  sink.received.filter(
    ({ body }) => (body.data.message as { whatsapp_id: string } | undefined)?.whatsapp_id === whatsapp_id,
  )
async function tells(whatsapp_id: string, count = 1) {
  await eventually(() => Promise.resolve(told(whatsapp_id).length >= count))
  return told(whatsapp_id).map(({ body }) => body)
}

it('tells a text with all its circumstances', async () => {
  const id = phone.controls.incoming(phone.engine_name, { chat: ANA, text: 'Halo!', push_name: 'Ana' })
  const [event] = await tells(id)
  const { phone_number } = (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
  expect(event).toMatchObject({
    id: expect.stringMatching(/^evt_[\w-]{22}$/),
    type: 'message.received',
    version: '1',
    timestamp: expect.any(String),
    position: expect.any(Number),
    phone_number: { id: phone.id, display_name: 'Support', phone_number, metadata: { shop: 7 } },
    data: {
      message: {
        id: expect.any(Number),
        phone_number_id: phone.id,
        direction: 'incoming',
        type: 'text',
        from: ANA,
        chat: ANA,
        lid: expect.stringMatching(/@lid$/),
        group: false,
        sender_name: 'Ana',
        whatsapp_id: id,
        content: { text: 'Halo!' },
        sent_at: expect.any(String),
      },
    },
  })
})

it('tells what kind of file came, and with which words', async () => {
  const media = {
    type: 'image',
    base64: Buffer.from('a picture').toString('base64'),
    mimetype: 'image/jpeg',
    caption: 'Look',
  }
  const [event] = await tells(phone.controls.incoming(phone.engine_name, { chat: ANA, media }))
  expect(event!.data.message).toMatchObject({
    type: 'image',
    content: { caption: 'Look', mime_type: 'image/jpeg', size: 9 },
  })
})

it.each([
  [
    'location',
    { locationMessage: { degreesLatitude: -6.2, degreesLongitude: 106.8, name: 'Monas' } },
    { name: 'Monas' },
  ],
  ['reaction', { reactionMessage: { text: '👍', key: { id: 'ABC' } } }, { reaction: '👍', whatsapp_id: 'ABC' }],
  [
    'contact',
    { contactMessage: { displayName: 'Budi', vcard: 'BEGIN:VCARD' } },
    { contacts: [{ name: 'Budi', vcard: 'BEGIN:VCARD' }] },
  ],
  ['unknown', { futureMessage: { what: 'ever' } }, { engine_type: 'futureMessage' }],
])('tells a %s', async (type, message, content) => {
  const [event] = await tells(phone.controls.incoming(phone.engine_name, { chat: ANA, message }))
  expect(event!.data.message).toMatchObject({ type, content })
})

it('names the phone number of a sender who hides behind a privacy id, or the id where that is all', async () => {
  const [hidden] = await tells(phone.controls.incoming(phone.engine_name, { chat: ANA, text: 'Hidden', lid: true }))
  expect(hidden!.data.message).toMatchObject({ from: ANA, chat: ANA, lid: expect.stringMatching(/^\d+@lid$/) })
  const key = { id: '3ALID', remoteJid: '99887766@lid', fromMe: false }
  const data = {
    key,
    message: { conversation: 'No number' },
    messageType: 'conversation',
    messageTimestamp: 1_700_000_000,
  }
  await app.engineSays(phone.engine_name, { event: 'messages.upsert', data })
  const [only] = await tells('3ALID')
  expect(only!.data.message).toMatchObject({ from: '99887766@lid', chat: '99887766@lid', lid: '99887766@lid' })
})

it('tells who wrote in a group', async () => {
  const group = '120363000000000001@g.us'
  const [event] = await tells(phone.controls.incoming(phone.engine_name, { chat: ANA, group, text: 'Hi all' }))
  expect(event!.data.message).toMatchObject({ from: ANA, chat: group, group: true, sender_name: 'Ana' })
  expect((event!.data.message as { lid: string }).lid).toBe(`1${ANA}@lid`)
})

it('tells what is typed on the phone, and charges nothing for it', async () => {
  const used = async () => (await user.get('/api/dashboard')).body.dashboard.usage_today.used
  const before = await used()
  const [event] = await tells(phone.controls.typed(phone.engine_name, { chat: ANA, text: 'From my phone' }))
  expect(event).toMatchObject({
    type: 'message.sent_from_phone',
    data: { message: { direction: 'outgoing', chat: ANA, content: { text: 'From my phone' } } },
  })
  expect(await used()).toBe(before)
})

it('tells an edit and a deletion for everyone, each once', async () => {
  const id = phone.controls.incoming(phone.engine_name, { chat: ANA, text: 'Frist' })
  await tells(id)
  phone.controls.edit(phone.engine_name, id, 'First')
  await tells(id, 2)
  phone.controls.revoke(phone.engine_name, id)
  const events = await tells(id, 3)
  await app.engineSays(phone.engine_name, { event: 'presence.update', data: {} })
  expect(events.map(({ type }) => type)).toEqual(['message.received', 'message.edited', 'message.deleted'])
  expect(events[1]!.data.message).toMatchObject({ chat: ANA, content: { text: 'First' } })
  expect(told(id)).toHaveLength(3)
})

it('tells the chat of an edit as that of the message: the key of the one who edits names us', async () => {
  const id = phone.controls.incoming(phone.engine_name, { chat: ANA, text: 'Frist' })
  await tells(id)
  const { phone_number } = (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number
  const key = { remoteJid: `${phone_number}@s.whatsapp.net`, fromMe: true, id }
  const data = { key, type: 'MESSAGE_EDIT', editedMessage: { conversation: 'First' } }
  await app.engineSays(phone.engine_name, { event: 'messages.edited', data })
  const [, edited] = await tells(id, 2)
  expect(edited!.data.message).toEqual({ whatsapp_id: id, chat: ANA, content: { text: 'First' } })
})

it('tells an edit that WhatsApp encrypts, without its words, and no message', async () => {
  const id = phone.controls.incoming(phone.engine_name, { chat: ANA, text: 'Frist' })
  await tells(id)
  const envelope = (secretEncType: number, key_id: string) => ({
    key: { remoteJid: `${ANA}@s.whatsapp.net`, fromMe: false, id: key_id, participant: '' },
    messageType: 'secretEncryptedMessage',
    message: {
      secretEncryptedMessage: {
        targetMessageKey: { remoteJid: '628000@s.whatsapp.net', fromMe: true, id },
        secretEncType,
      },
    },
    messageTimestamp: 1_700_000_000,
  })
  await app.engineSays(phone.engine_name, { event: 'messages.upsert', data: envelope(2, '3AEDIT') })
  const [, edited] = await tells(id, 2)
  expect(edited).toMatchObject({
    type: 'message.edited',
    data: { message: { whatsapp_id: id, chat: ANA, content: { text: null } } },
  })
  expect(told('3AEDIT')).toEqual([])
  await app.engineSays(phone.engine_name, { event: 'messages.upsert', data: envelope(1, '3AOTHER') })
  expect(await tells('3AOTHER')).toMatchObject([{ data: { message: { type: 'unknown' } } }])
})

it('does not take for an edit, and does not keep, what clients of WhatsApp tell each other', async () => {
  const kept = async () => (await app.db.query('select 1 from unprocessed_events')).rowCount
  const before = await kept()
  for (const type of ['APP_STATE_SYNC_KEY_SHARE', 'HISTORY_SYNC_NOTIFICATION', 'EPHEMERAL_SETTING', 6])
    await app.engineSays(phone.engine_name, {
      event: 'messages.edited',
      data: { type, keys: [{ keyData: 'private' }] },
    })
  expect(await kept()).toBe(before)
})

it('tells how a message fares, in order, and never backwards', async () => {
  const { body } = await user.post('/api/messages/send-text', {
    token: phone.token,
    number: '628000000003',
    text: 'Hi',
  })
  const { whatsapp_id } = body.message
  for (const status of ['READ', 'DELIVERY_ACK', 'SERVER_ACK', 'READ', 'PLAYED'])
    phone.controls.status(phone.engine_name, whatsapp_id, status)
  await tells(whatsapp_id, 2)
  await eventually(() => Promise.resolve(phone.controls.pendingWebhooks === 0))
  await eventually(async () => (await app.db.query('select 1 from pending_deliveries')).rowCount === 0)
  const statuses = told(whatsapp_id).map(({ body }) => (body.data.message as { status: string }).status)
  expect(statuses.slice(0, 2)).toEqual(['sent', 'read'])
  expect(statuses).toHaveLength(2)
})

it('numbers the events of a user without a gap, in the order they are told', async () => {
  const ids = Array.from({ length: 20 }, (_, i) =>
    phone.controls.incoming(phone.engine_name, { chat: ANA, text: `Nr ${i}` }),
  )
  for (const id of ids) await tells(id)
  const { rows } = await app.db.query('select position from events where user_id = $1 order by position', [user.id])
  expect(rows.map(({ position }) => position)).toEqual(Array.from(rows, (_, i) => i + 1))
  const positions = sink.received.map(({ body }) => body.position)
  expect(positions).toEqual([...positions].sort((a, b) => a - b))
})
