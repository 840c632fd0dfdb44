import { type AddressInfo, type Server, createServer } from 'node:net'
import { INSIDE_URLS } from './support/inside-urls.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
let inside: Server
let connections = 0
let port: number
beforeAll(async () => {
  inside = createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => inside.listen(0, '::', resolve))
  port = (inside.address() as AddressInfo).port
  app = await startTestApp({ env: { WEBHOOK_PRIVATE_TARGETS: '', MEDIA_PRIVATE_TARGETS: '' } })
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(async () => {
  await app.stop()
  inside.close()
})

const FORMS = [
  'http://user:password@127.0.0.1:@/',
  'http://example.com@127.0.0.1:@/',
  'gopher://127.0.0.1:@/',
  'file:///etc/passwd',
  'http://127.0.0.1:0/',
  '//127.0.0.1:@/',
  'http://',
]

it.each([...INSIDE_URLS, ...FORMS])(
  '%s is refused as a webhook and as a file, and nobody connects',
  async (spelling) => {
    const url = spelling.replace(/@(?=\/|$)/, String(port))
    const created = await user.post('/api/phone-numbers/create', { display_name: 'Shop', webhook_url: url })
    expectRefusal(created, 400, 'invalid_request')
    expect(created.body.error.details).toMatchObject([{ path: 'webhook_url' }])
    const media = { token: phone.token, number: '628000000003', mediaType: 'document', mediaUrl: url }
    expectRefusal(await user.post('/api/messages/send-media', media), 400, 'invalid_request')
    expect(connections).toBe(0)
  },
)

it('a webhook that was stored before its target moved inside is judged again at each attempt', async () => {
  const outside = { display_name: 'Outside', webhook_url: 'http://93.184.215.14/hook' }
  const { id, instance_name } = (await user.post('/api/phone-numbers/create', outside)).body.phone_number
  await app.db.query('update webhooks set url = $1 where phone_number_id = $2', [`http://127.0.0.1:${port}/`, id])
  const data = {
    key: { id: '3AGUARD', remoteJid: '628111222333@s.whatsapp.net', fromMe: false },
    message: { conversation: 'Hi' },
    messageType: 'conversation',
    messageTimestamp: 1_700_000_000,
  }
  await app.engineSays(`${instance_name}_g1`, { event: 'messages.upsert', data })
  const attempts = async () => (await app.db.query('select status_code, error from webhook_logs')).rows
  await eventually(async () => (await attempts()).length > 0)
  expect(await attempts()).toEqual([{ status_code: null, error: 'target_refused' }])
  await user.delete(`/api/phone-numbers/${id}`)
  expect(connections).toBe(0)
})

it('has changed nothing and charged nothing', async () => {
  expect((await user.get('/api/phone-numbers')).body.phone_numbers).toHaveLength(1)
  expect((await user.get('/api/dashboard')).body.dashboard.usage_today.used).toBe(0)
})
