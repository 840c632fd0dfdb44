import fc from 'fast-check'
import { address, translate } from './engine-events.js'

const key = { id: '3A1', remoteJid: '628111@s.whatsapp.net', fromMe: false }
const upsert = (data: object) => translate('messages.upsert', { key, message: {}, messageType: '', ...data })

it.each([
  ['628111@s.whatsapp.net', '628111'],
  ['628111:12@s.whatsapp.net', '628111'],
  ['628111@c.us', '628111'],
  ['12036300@g.us', '12036300@g.us'],
  ['99887766:3@lid', '99887766@lid'],
])('%s is addressed as %s', (jid, expected) => {
  expect(address(jid)).toBe(expected)
})

it('reads names of events in every spelling', () => {
  const data = { state: 'open', statusReason: 200, wuid: '628111:2@s.whatsapp.net' }
  const fact = { kind: 'state', state: 'open', reason: 200, phone_number: '628111' }
  expect(translate('connection.update', data)).toEqual(fact)
  expect(translate('CONNECTION_UPDATE', data)).toEqual(fact)
  expect(translate('connection-update', data)).toEqual(fact)
  for (const unused of ['PRESENCE_UPDATE', 'chats.upsert', 'logout-instance'])
    expect(translate(unused, {})).toEqual({ kind: 'ignored' })
  expect(() => translate('something.new', {})).toThrow('the event "something.new" is not known')
})

it.each<[string, string, object, object]>([
  ['a plain text', 'conversation', { conversation: 'Hi' }, { type: 'text', content: { text: 'Hi' } }],
  [
    'a text with a preview',
    'extendedTextMessage',
    { extendedTextMessage: { text: 'Hi' } },
    { type: 'text', content: { text: 'Hi' } },
  ],
  [
    'a text in a wrapper',
    'ephemeralMessage',
    { ephemeralMessage: { message: { conversation: 'Hi' } } },
    { type: 'text', content: { text: 'Hi' } },
  ],
  [
    'a picture seen once',
    'viewOnceMessageV2',
    { viewOnceMessageV2: { message: { imageMessage: { mimetype: 'image/jpeg', fileLength: { low: 9, high: 0 } } } } },
    { type: 'image', content: { mime_type: 'image/jpeg', size: 9 } },
  ],
  [
    'a voice note',
    'audioMessage',
    { audioMessage: { ptt: true, seconds: 4 } },
    { type: 'audio', content: { voice: true, seconds: 4 } },
  ],
  ['a video note', 'ptvMessage', { ptvMessage: { seconds: 7 } }, { type: 'video', content: { seconds: 7 } }],
  [
    'a poll of an older phone',
    'pollCreationMessage',
    { pollCreationMessage: { name: 'Which?', options: [{ optionName: 'One' }] } },
    { type: 'poll', content: { name: 'Which?', values: ['One'] } },
  ],
  [
    'a vote in a poll',
    'pollUpdateMessage',
    { pollUpdateMessage: { pollCreationMessageKey: { id: '3EB0POLL' }, vote: { selectedOptions: ['One'] } } },
    { type: 'poll_vote', content: { whatsapp_id: '3EB0POLL', values: ['One'] } },
  ],
  [
    'a vote that was taken back',
    'pollUpdateMessage',
    { pollUpdateMessage: { pollCreationMessageKey: { id: '3EB0POLL' }, vote: { selectedOptions: [] } } },
    { type: 'poll_vote', content: { whatsapp_id: '3EB0POLL', values: [] } },
  ],
  [
    'a vote the engine could not read',
    'pollUpdateMessage',
    { pollUpdateMessage: { pollCreationMessageKey: { id: '3EB0POLL' }, vote: { encPayload: 'x', encIv: 'y' } } },
    { type: 'poll_vote', content: { whatsapp_id: '3EB0POLL' } },
  ],
  [
    'a button that was pressed',
    'buttonsResponseMessage',
    { buttonsResponseMessage: { selectedDisplayText: 'Yes' } },
    { type: 'text', content: { text: 'Yes' } },
  ],
  [
    'nothing known',
    'futureMessage',
    { futureMessage: {} },
    { type: 'unknown', content: { engine_type: 'futureMessage' } },
  ],
  ['a name every object has', 'toString', { toString: { a: 1 } }, { type: 'unknown' }],
])('reads %s', (_what, messageType, message, expected) => {
  expect(upsert({ messageType, message })).toMatchObject({ kind: 'message', message: expected })
})

it('names the phone number of a privacy id from whichever side it comes', () => {
  const both = { chat: '628111', lid: '99@lid' }
  const lidFirst = { ...key, remoteJid: '99@lid', remoteJidAlt: '628111@s.whatsapp.net' }
  const phoneFirst = { ...key, remoteJidAlt: '99@lid' }
  expect(upsert({ key: lidFirst })).toMatchObject({ message: both })
  expect(upsert({ key: phoneFirst })).toMatchObject({ message: both })
  expect(upsert({ key: { ...key, remoteJid: '99@lid' } })).toMatchObject({ message: { chat: '99@lid', lid: '99@lid' } })
})

it.each([
  ['seconds', 1_795_337_608],
  ['a text', '1795337608'],
  ['a 64-bit number', { low: 1_795_337_608, high: 0, unsigned: true }],
])('knows when it was sent from %s', (_what, messageTimestamp) => {
  const sent_at = new Date(1_795_337_608_000)
  expect(upsert({ messageTimestamp })).toMatchObject({ message: { sent_at } })
  expect(translate('send.message', { key, message: {}, messageTimestamp })).toMatchObject({ sent_at })
})

it('takes a time that cannot be for now', () => {
  for (const messageTimestamp of [0, -1, 1_795_337_608_000, 1e15, 'soon', null]) {
    const { sent_at } = (upsert({ messageTimestamp }) as unknown as { message: { sent_at: Date } }).message
    expect(Math.abs(sent_at.getTime() - Date.now())).toBeLessThan(60_000)
  }
})

it('leaves status updates and channels alone', () => {
  for (const remoteJid of ['status@broadcast', '1@newsletter']) {
    expect(upsert({ key: { ...key, remoteJid } })).toEqual({ kind: 'ignored' })
    expect(translate('messages.delete', { key: { ...key, remoteJid } })).toEqual({ kind: 'ignored' })
    expect(translate('messages.edited', { key: { ...key, remoteJid }, editedMessage: {} })).toEqual({ kind: 'ignored' })
  }
})

it.each([
  ['SERVER_ACK', 'sent'],
  ['DELIVERY_ACK', 'delivered'],
  ['READ', 'read'],
  ['PLAYED', 'read'],
  ['ERROR', 'failed'],
])('%s is a receipt: %s', (status, expected) => {
  expect(translate('messages.update', { keyId: '3EB0', fromMe: true, status })).toEqual({
    kind: 'receipt',
    whatsapp_id: '3EB0',
    status: expected,
  })
  expect(translate('messages.update', { keyId: '3EB0', fromMe: false, status })).toEqual({ kind: 'ignored' })
})

it('a status nobody knows is no receipt', () => {
  for (const status of ['PENDING', 'constructor', '', 7, null])
    expect(translate('messages.update', { keyId: '3EB0', fromMe: true, status })).toEqual({ kind: 'ignored' })
})

it('an edit tells its text; a deletion, which comes twice, is read once', () => {
  const edit = { key, type: 'MESSAGE_EDIT', editedMessage: { conversation: 'First' } }
  expect(translate('messages.edited', edit)).toEqual({
    kind: 'edited',
    whatsapp_id: '3A1',
    chat: '628111',
    text: 'First',
  })
  const caption = { ...edit, editedMessage: { imageMessage: { caption: 'Second' } } }
  expect(translate('messages.edited', caption)).toMatchObject({ kind: 'edited', text: 'Second' })
  expect(translate('messages.edited', { key, type: 'REVOKE' })).toEqual({ kind: 'ignored' })
  expect(translate('messages.delete', key)).toEqual({ kind: 'deleted', whatsapp_id: '3A1', chat: '628111' })
})

it('a QR code, the end of QR codes, and the end of a session', () => {
  const qrcode = { base64: 'data:image/png;base64,x', pairingCode: 'ABCD' }
  expect(translate('qrcode.updated', { qrcode })).toEqual({ kind: 'qr', image: qrcode.base64, pairing_code: 'ABCD' })
  expect(translate('qrcode.updated', { message: 'QR code limit reached', statusCode: 500 })).toEqual({
    kind: 'qr_limit',
  })
  expect(translate('connection.update', { state: 'refused', statusReason: 428 })).toEqual({ kind: 'qr_limit' })
  expect(translate('status.instance', { status: 'closed', disconnectionReasonCode: 401 })).toMatchObject({
    state: 'closed',
    reason: 401,
  })
})

it('whatever comes is understood, ignored, or refused with an Error', () => {
  const names = [
    'messages.upsert',
    'messages.update',
    'messages.edited',
    'messages.delete',
    'connection.update',
    'qrcode.updated',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...names, 'status.instance', 'send.message'), fc.jsonValue(), (event, data) => {
      try {
        expect(typeof translate(event, data).kind).toBe('string')
      } catch (err) {
        expect(err).toBeInstanceOf(Error)
        expect((err as Error).message).not.toMatch(/undefined \(reading/)
      }
    }),
    { numRuns: 300 },
  )
})
