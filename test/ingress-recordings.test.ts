import { webhookRecordings } from './support/recordings.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'
import { type Seeded, seedNumber } from './support/webhook-stage.js'

let app: TestApp
let user: TestUser
let phone: Seeded
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
  user = await app.createUser()
  phone = await seedNumber(app, user)
  await app.db.query(`update phone_numbers set status = 'created', first_connected_at = null where id = $1`, [phone.id])
})
afterAll(() => app.stop())

interface Told {
  type: string
  data: { message: { from: string; sent_at: string } }
}

/** Posts what a real Evolution posted, to our number; answers the events that came of it. */
async function replay(name: string): Promise<Told[]> {
  const { next_cursor } = (await user.get('/api/events?limit=500')).body
  for (const { body } of webhookRecordings.get(name)!.webhooks)
    expect((await app.engineSays(phone.engine_name, body)).status).toBe(200)
  return (await user.get(`/api/events?limit=500&after=${next_cursor}`)).body.events
}

const typesOf = async (name: string) => (await replay(name)).map(({ type }) => type)
const status = async () => (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number

describe('what a real Evolution posted', () => {
  it('links a number: QR code, scan, restart of the socket, open', async () => {
    expect(await typesOf('wa-webhooks-create-until-qr')).toEqual(['phone_number.qr'])
    expect(await status()).toMatchObject({ status: 'qr_ready' })
    expect(await typesOf('wa-webhooks-scan-until-open')).toEqual(['phone_number.connected'])
    expect(await status()).toMatchObject({ status: 'connected', phone_number: '5511911110002' })
  })

  it.each(['428-socket-closed', '440-replaced', '503', '515-restart'])(
    'says nothing about a connection that came back at once: %s',
    async (drop) => {
      expect(await typesOf(`wa-webhooks-drop-${drop}`)).not.toContain('phone_number.disconnected')
      expect(await status()).toMatchObject({ status: 'connected' })
    },
  )

  it.each([
    ['text', 'text'],
    ['image', 'image'],
    ['video', 'video'],
    ['audio', 'audio'],
    ['document', 'document'],
    ['location', 'location'],
    ['contact', 'contact'],
    ['reaction', 'reaction'],
    ['quoted', 'text'],
    ['lid', 'text'],
  ])('tells a message: %s', async (recording, type) => {
    const events = await replay(`wa-webhooks-messages-upsert-${recording}`)
    expect(events).toMatchObject([{ type: 'message.received', data: { message: { type, direction: 'incoming' } } }])
    const { from, sent_at } = events[0]!.data.message
    expect(from).toMatch(/^\d+(@lid)?$/)
    expect(sent_at).toMatch(/^2026-11-22T/)
  })

  it('tells what was typed on the phone, edited and deleted, each once', async () => {
    expect(await typesOf('wa-webhooks-messages-upsert-from-me')).toEqual(['message.sent_from_phone'])
    expect(await replay('wa-webhooks-message-edited')).toMatchObject([
      { type: 'message.edited', data: { message: { content: { text: 'Oi, tudo bem? (editado)' } } } },
    ])
    expect(await typesOf('wa-webhooks-message-revoked')).toEqual(['message.deleted'])
  })

  it('tells once that the phone unlinked it, in whichever order the three words about it come', async () => {
    // The drops above were many in a short time, which is a word of its own.
    await app.db.query('update phone_numbers set drops = 0 where id = $1', [phone.id])
    const events = await replay('wa-webhooks-logged-out-by-phone')
    expect(events).toMatchObject([{ type: 'phone_number.disconnected', data: { reason: 'logged_out' } }])
    expect(await typesOf('wa-webhooks-logout-open')).toEqual([])
  })

  it('shows QR codes until their limit, and tells that once', async () => {
    // On the session that has ended nothing would show; these codes were those of another instance.
    await app.db.query(`update phone_numbers set status = 'connecting', status_reason = null where id = $1`, [phone.id])
    // The pictures were cut when they were recorded, so that both codes look the same.
    expect(await typesOf('wa-webhooks-qr-limit')).toEqual(['phone_number.qr', 'phone_number.disconnected'])
    expect(await status()).toMatchObject({ status: 'disconnected', status_reason: 'qr_expired' })
  })

  it('and whatever else was recorded is taken, and understood', async () => {
    for (const name of webhookRecordings.keys()) await replay(name)
    expect((await app.db.query('select reason from unprocessed_events')).rows).toEqual([])
  })
})
