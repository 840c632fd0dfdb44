import { expectRefusal } from './support/refusal.js'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let sender: Awaited<ReturnType<typeof newSender>>
beforeAll(async () => {
  app = await startTestApp({ env: { CONTACT_CHECKS_PER_HOUR: '25' }, sandbox: { media_retry_ms: 20 } })
  sender = await newSender(app)
})
afterAll(() => app.stop())

const GROUP = '120363000000000001@g.us'
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const MP3 = Buffer.concat([
  Buffer.from('ID3\x03\0\0\0\0\0\0', 'latin1'),
  Buffer.from([0xff, 0xfb, 0x90, 0x64]),
  Buffer.alloc(500),
]).toString('base64')

const to = (number = QUIET) => ({ token: sender.phone.token, number })
async function send(call: string, body: object) {
  const answer = await sender.user.post(`/api/messages/${call}`, body)
  expect([call, answer.status, answer.body.error]).toEqual([call, 200, undefined])
  const { path, body: asked } = sender.engineCalls().at(-1)!
  return { message: answer.body.message, route: path.split('/')[2], asked }
}

describe('what reaches the engine', () => {
  it('of a location, whose address is made up where there is none', async () => {
    const place = { latitude: -6.1754, longitude: 106.8272, name: 'Monas' }
    const { route, asked, message } = await send('send-location', { ...to(), ...place })
    expect([route, asked]).toEqual(['sendLocation', { number: QUIET, ...place, address: '-6.1754, 106.8272' }])
    expect(message).toMatchObject({ type: 'location', content: { name: 'Monas' } })
    const full = await send('send-location', { ...to(), ...place, address: 'Gambir' })
    expect(full.asked.address).toBe('Gambir')
  })

  it('of contacts: digits as their WhatsApp id', async () => {
    const contacts = [
      { full_name: 'Ani', phone_number: '0812 3456 7890', organization: 'Toko' },
      { full_name: 'Bob', phone_number: '+65 9123 4567' },
    ]
    const { route, asked } = await send('send-contact', { ...to(), contacts })
    expect(route).toBe('sendContact')
    expect(asked.contact).toEqual([
      { fullName: 'Ani', wuid: '6281234567890', phoneNumber: '+6281234567890', organization: 'Toko' },
      { fullName: 'Bob', wuid: '6591234567', phoneNumber: '+6591234567' },
    ])
  })

  it('of a poll', async () => {
    const { route, asked } = await send('send-poll', {
      ...to(),
      name: 'Lunch?',
      values: ['Soto', 'Sate'],
      selectable_count: 2,
    })
    expect([route, asked]).toEqual([
      'sendPoll',
      { number: QUIET, name: 'Lunch?', values: ['Soto', 'Sate'], selectableCount: 2 },
    ])
  })

  it('of a reaction and of taking it back, to our messages and to theirs', async () => {
    const { message } = await send('send-text', { ...to(), text: 'like this?' })
    const key = { id: message.whatsapp_id as string, remoteJid: `${QUIET}@s.whatsapp.net`, fromMe: true }
    const mine = await send('send-reaction', { message_id: message.id, reaction: '👍🏽' })
    expect([mine.route, mine.asked]).toEqual(['sendReaction', { key, reaction: '👍🏽' }])
    const back = await send('send-reaction', { message_id: message.id, reaction: '' })
    expect(back.asked).toEqual({ key, reaction: '' })
    const { phone, user } = sender
    const keyId = phone.controls.incoming(phone.engine_name, { chat: QUIET, text: 'theirs' })
    const incoming = async () => (await user.get('/api/messages?direction=incoming')).body.messages[0]
    await eventually(async () => (await incoming()).whatsapp_id === keyId)
    const theirs = await send('send-reaction', { message_id: (await incoming()).id, reaction: '❤️' })
    expect(theirs.asked).toMatchObject({ key: { id: keyId, fromMe: false }, reaction: '❤️' })

    const inGroup = '3AGROUP'
    const data = {
      key: {
        remoteJid: GROUP,
        fromMe: false,
        id: inGroup,
        participant: '99887766@lid',
        participantAlt: `${QUIET}@s.whatsapp.net`,
      },
      messageType: 'conversation',
      message: { conversation: 'theirs, in a group' },
      messageTimestamp: Math.floor(Date.now() / 1000),
    }
    await app.engineSays(phone.engine_name, { event: 'messages.upsert', data })
    await eventually(async () => (await incoming()).whatsapp_id === inGroup)
    const there = await send('send-reaction', { message_id: (await incoming()).id, reaction: '❤️' })
    const author = { participant: '99887766@lid' } // without it WhatsApp does not find the message
    expect(there.asked).toEqual({ key: { id: inGroup, remoteJid: GROUP, fromMe: false, ...author }, reaction: '❤️' })
  })

  it('of a reply to any kind of message', async () => {
    const { message } = await send('send-text', { ...to(), text: 'quote me' })
    const quoted = { key: { id: message.whatsapp_id as string } }
    const text = await send('send-text', { ...to(), text: 'a reply', quoted_message_id: message.id })
    expect(text.asked).toEqual({ number: QUIET, text: 'a reply', quoted })
    const poll = await send('send-poll', { ...to(), name: 'Sure?', values: ['y', 'n'], quoted_message_id: message.id })
    expect(poll.asked).toMatchObject({ quoted })
  })

  it('of mentions in a group', async () => {
    const one = await send('send-text', { ...to(GROUP), text: 'hey', mentions: ['+62 812-3456-7890', 6591234567] })
    const form = { ...to(GROUP), text: 'hey' }
    for (const mentions of ['6591234567', '6591234567, 6281234567890'])
      expect(
        (
          await sender.user
            .post('/api/messages/send-text')
            .type('form')
            .send({ ...form, mentions })
        ).status,
      ).toBe(200)
    expect(one.asked).toEqual({ number: GROUP, text: 'hey', mentioned: ['6281234567890', '6591234567'] })
    const all = await send('send-text', { ...to(GROUP), text: 'everybody', mention_all: true })
    expect(all.asked).toEqual({ number: GROUP, text: 'everybody', mentionsEveryOne: true })
  })

  it('of a link preview, asked for or not wanted', async () => {
    for (const link_preview of [true, false]) {
      const { asked } = await send('send-text', { ...to(), text: 'https://example.com', link_preview })
      expect(asked).toEqual({ number: QUIET, text: 'https://example.com', linkPreview: link_preview })
    }
  })

  it('of a voice note and of a sticker', async () => {
    const voice = await send('send-media', { ...to(), mediaType: 'audio', base64: MP3, voice: true })
    expect([voice.route, voice.asked]).toEqual(['sendWhatsAppAudio', { number: QUIET, audio: MP3, encoding: true }])
    const sticker = await send('send-sticker', { ...to(), base64: PNG })
    expect([sticker.route, sticker.asked]).toEqual(['sendSticker', { number: QUIET, sticker: PNG }])
    expect(sticker.message).toMatchObject({ type: 'sticker', status: 'sent' })
  })
})

describe('is refused before it costs anything:', () => {
  it.each<[string, string, object, number, string]>([
    ['a latitude beyond the pole', 'send-location', { latitude: 91, longitude: 0, name: 'x' }, 400, 'invalid_request'],
    ['a latitude that is null', 'send-location', { latitude: null, longitude: 1, name: 'x' }, 400, 'invalid_request'],
    ['a longitude that is empty', 'send-location', { latitude: 1, longitude: '', name: 'x' }, 400, 'invalid_request'],
    ['a place without a name', 'send-location', { latitude: 1, longitude: 1 }, 400, 'invalid_request'],
    ['no contacts', 'send-contact', { contacts: [] }, 400, 'invalid_request'],
    [
      'a contact without a number',
      'send-contact',
      { contacts: [{ full_name: 'x', phone_number: 'y' }] },
      400,
      'invalid_request',
    ],
    ['a poll of one', 'send-poll', { name: 'x', values: ['a'] }, 400, 'invalid_request'],
    ['a poll of equals', 'send-poll', { name: 'x', values: ['a', 'a'] }, 400, 'invalid_request'],
    [
      'a poll that lets choose more than there is',
      'send-poll',
      { name: 'x', values: ['a', 'b'], selectable_count: 3 },
      400,
      'invalid_request',
    ],
    [
      'a poll that does not say how many',
      'send-poll',
      { name: 'x', values: ['a', 'b'], selectable_count: null },
      400,
      'invalid_request',
    ],
    ['mentions of a person', 'send-text', { text: 'x', mentions: ['6281'] }, 400, 'invalid_request'],
    ['an empty text', 'send-text', { text: ' \n ' }, 400, 'invalid_request'],
    ['a text that is too long', 'send-text', { text: 'x'.repeat(65_537) }, 400, 'invalid_request'],
    ['a number that is none', 'send-text', { number: '12', text: 'x' }, 400, 'invalid_request'],
    ['a broadcast', 'send-text', { number: 'status@broadcast', text: 'x' }, 400, 'invalid_request'],
    ['a quote that is true', 'send-text', { text: 'x', quoted_message_id: true }, 400, 'invalid_request'],
    ['an unknown quote', 'send-text', { text: 'x', quoted_message_id: 999_999 }, 404, 'not_found'],
    ['an unknown token', 'send-text', { token: 'wst_nobody', text: 'x' }, 404, 'not_found'],
    [
      'a voice note of a picture',
      'send-media',
      { mediaType: 'image', base64: PNG, voice: true },
      400,
      'invalid_request',
    ],
    [
      'a voice note that is no audio',
      'send-media',
      { mediaType: 'audio', base64: PNG, voice: true },
      422,
      'media_rejected',
    ],
    ['a sticker that is no picture', 'send-sticker', { base64: MP3 }, 422, 'media_rejected'],
    ['a time to live of a second', 'send-text', { text: 'x', ttl_seconds: 1 }, 400, 'invalid_request'],
    ['an unknown wish', 'send-text', { text: 'x', on_ambiguous: 'panic' }, 400, 'invalid_request'],
    ['a wait of an hour', 'send-text?wait=3600', { text: 'x' }, 400, 'invalid_request'],
    [
      'an unreachable file',
      'send-media',
      { mediaType: 'image', mediaUrl: 'http://127.0.0.1:9/x.png' },
      422,
      'media_rejected',
    ],
    [
      'a file inside',
      'send-media',
      { mediaType: 'image', mediaUrl: 'http://169.254.169.254/x.png' },
      400,
      'invalid_request',
    ],
  ])('%s', async (_what, call, body, status, code) => {
    const before = [await sender.used(), sender.engineCalls().length]
    expectRefusal(await sender.user.post(`/api/messages/${call}`, { ...to(), ...body }), status, code)
    expect([await sender.used(), sender.engineCalls().length]).toEqual(before)
  })

  it('reactions that are no emoji, and to what was never sent', async () => {
    const { user, phone } = sender
    const id = await sender.queue(QUIET, 'later', { send_at: new Date(Date.now() + 3_600_000).toISOString() })
    expectRefusal(await user.post('/api/messages/send-reaction', { message_id: id, reaction: '👍' }), 409, 'conflict')
    const sent = (await sender.text(QUIET, 'react')).body.message.id as number
    for (const reaction of ['yes', '👍👍', ' '])
      expectRefusal(
        await user.post('/api/messages/send-reaction', { message_id: sent, reaction }),
        400,
        'invalid_request',
      )
    expectRefusal(
      await user.post('/api/messages/send-reaction', { message_id: true, reaction: '👍' }),
      400,
      'invalid_request',
    )
    const other = await app.connectedNumber(user)
    const quote = { token: other.token, number: QUIET, text: 'x', quoted_message_id: sent }
    expectRefusal(await user.post('/api/messages/send-text', quote), 404, 'not_found')
    expect(phone.id).not.toBe(other.id)
  })
})

it('a heart without the mark that makes an emoji of it gets it', async () => {
  const sent = (await sender.text(QUIET, 'lovely')).body.message.id as number
  const answer = await sender.user.post('/api/messages/send-reaction', { message_id: sent, reaction: '\u2764' })
  expect([answer.status, answer.body.message.content.reaction]).toEqual([200, '\u2764\ufe0f'])
})

it('a text that is too long is told so', async () => {
  const refused = await sender.text(QUIET, 'x'.repeat(65_537))
  expect(refused.body.error.message).toBe('The request is not valid. text: may have 65,536 characters at most.')
})

describe('an incoming file', () => {
  const file = (bytes: Buffer) => ({
    chat: '628777',
    media: { type: 'document', base64: bytes.toString('base64'), mimetype: 'application/pdf', file_name: 'Bill 5.pdf' },
  })
  const received = async (keyId: string) => {
    const { user } = sender
    let id = 0
    await eventually(async () => {
      const { messages } = (await user.get('/api/messages?direction=incoming')).body
      id = messages.find((one: { whatsapp_id: string }) => one.whatsapp_id === keyId)?.id as number
      return id !== undefined
    })
    return id
  }

  it('is handed out byte for byte to its owner only, and never as a page of ours', async () => {
    const { user, phone } = sender
    const bytes = Buffer.from('%PDF-1.4 the bytes \x00\xff', 'latin1')
    const id = await received(phone.controls.incoming(phone.engine_name, file(bytes)))
    const got = await user.get(`/api/messages/${id}/media`).responseType('blob')
    expect([got.status, got.headers['content-type']]).toEqual([200, 'application/pdf'])
    expect(Buffer.compare(got.body as Buffer, bytes)).toBe(0)
    expect(got.headers['content-disposition']).toBe('attachment; filename="Bill 5.pdf"')
    expect(got.headers['content-security-policy']).toContain('sandbox')
    const stranger = await app.createUser()
    expectRefusal(await stranger.get(`/api/messages/${id}/media`), 404, 'not_found')
  })

  it.each([
    ['application/x-\u5831\u544a', 'application/octet-stream'],
    ['text/html\u2028', 'application/octet-stream'],
    ['audio/ogg; codecs=opus', 'audio/ogg; codecs=opus'],
    ['application/pdf; name="\u5831\u544a"', 'application/pdf'],
  ])('has a type that a header can carry, whatever its sender wrote: %j', async (mimetype, told) => {
    const { user, phone } = sender
    const media = { type: 'document', base64: Buffer.from('bytes').toString('base64'), mimetype }
    const id = await received(phone.controls.incoming(phone.engine_name, { chat: '628111222333', media }))
    const got = await user.get(`/api/messages/${id}/media`).responseType('blob')
    expect([got.status, got.headers['content-type']]).toEqual([200, told])
  })

  it('that WhatsApp no longer has is gone when it is old, and worth another try when it is young', async () => {
    const { user, phone } = sender
    const id = await received(phone.controls.incoming(phone.engine_name, file(Buffer.alloc(0))))
    expectRefusal(await user.get(`/api/messages/${id}/media`), 503, 'unavailable')
    await app.db.query(`update messages set created_at = now() - interval '15 days' where id = $1`, [id])
    expectRefusal(await user.get(`/api/messages/${id}/media`), 404, 'not_found')
  })

  it('is not there for a text, and one of ours is there while it waits', async () => {
    const { user, phone } = sender
    const text = (await sender.text(QUIET, 'no file')).body.message.id as number
    expectRefusal(await user.get(`/api/messages/${text}/media`), 409, 'conflict')
    const send_at = new Date(Date.now() + 3_600_000).toISOString()
    const body = { token: phone.token, number: QUIET, mediaType: 'image', base64: PNG, fileName: 'dot.png', send_at }
    const { id } = (await user.post('/api/messages/send-media?wait=0', body)).body.message
    const kept = await user.get(`/api/messages/${id}/media`).responseType('blob')
    expect([kept.status, (kept.body as Buffer).toString('base64')]).toEqual([200, PNG])
  })
})

describe('who is on WhatsApp', () => {
  const check = (numbers: (string | number)[], calls = sender.user) =>
    calls.post('/api/contacts/check', { token: sender.phone.token, numbers })
  const asked = () => sender.phone.controls.requests({ path: '/chat/whatsappNumbers' }).requests

  it('is asked once, ten at a time, and remembered; costs no quota', async () => {
    const used = await sender.used()
    const numbers = ['628000000002', '+62 800 0000 001', ...Array.from({ length: 10 }, (_, n) => 6285000000000 + n)]
    const first = await check(numbers)
    expect(first.status).toBe(200)
    const { contacts } = first.body as { contacts: { number: unknown; recipient: string; on_whatsapp: boolean }[] }
    expect(contacts.map(({ number }) => number)).toEqual(numbers)
    expect(contacts.map(({ on_whatsapp }) => on_whatsapp)).toEqual([false, ...Array<boolean>(11).fill(true)])
    expect(contacts[1]!.recipient).toBe('628000000001')
    expect(asked().map(({ body }) => (body as { numbers: string[] }).numbers.length)).toEqual([10, 2])
    expect((await check(numbers)).body).toEqual(first.body)
    expect([asked().length, await sender.used()]).toEqual([2, used])
  })

  it('names what cannot be checked, and asks for nothing then', async () => {
    const before = asked().length
    const { body } = await check(['nobody', GROUP])
    expect(body.contacts).toMatchObject([
      { number: 'nobody', recipient: null, on_whatsapp: null, error: expect.any(String) },
      { number: GROUP, recipient: null, on_whatsapp: null, error: expect.any(String) },
    ])
    expect(asked()).toHaveLength(before)
  })

  it('is limited per hour and number, as mass checks get numbers banned', async () => {
    const many = (from: number) => Array.from({ length: 14 }, (_, n) => from + n)
    expectRefusal(await check(many(6286000000000)), 429, 'rate_limited') // 12 before, 25 allowed
    expect((await check(many(6286000000000).slice(1))).status).toBe(200)
    expectRefusal(await check([6287000000000]), 429, 'rate_limited')
    expect((await check([628000000002])).status).toBe(200) // known
    expectRefusal(await check(Array.from({ length: 51 }, (_, n) => 6288000000000 + n)), 400, 'invalid_request')
    const answers = await Promise.all([1, 2].map(() => check([628000000001])))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
  })

  it('is limited to the number when many calls come at once, on two replicas', async () => {
    const { user, phone } = await newSender(app)
    const replica = await app.startReplica()
    const callers = [user, app.as(user, replica)]
    const ten = (call: number) => Array.from({ length: 10 }, (_, n) => 6281400000000 + call * 10 + n)
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, call) =>
        callers[call % 2]!.post('/api/contacts/check', { token: phone.token, numbers: ten(call) }),
      ),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, ...Array<number>(6).fill(429)])
  })

  it('counts what the engine did not answer, and not what it was never asked', async () => {
    const { user, phone } = await newSender(app)
    const ask = (from: number, length: number) =>
      user.post('/api/contacts/check', {
        token: phone.token,
        numbers: Array.from({ length }, (_, n) => from + n),
      })
    phone.controls.setTroubles({ refuse: '503' })
    expectRefusal(await ask(6281500000000, 20), 503, 'unavailable')
    phone.controls.clearTroubles()
    expect((await ask(6281500000000, 15)).status).toBe(200)
    expectRefusal(await ask(6281500000100, 1), 429, 'rate_limited')
  })
})
