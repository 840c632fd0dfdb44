import { ENGINE_KEY, JWT_SECRET, type TestApp, eventually, startTestApp } from './support/test-app.js'
import { ingressSecret } from '../src/services/instances.js'
import { startChild } from './support/child-server.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

it('no key, token, secret, recipient, text or QR code is in a line of the log', async () => {
  const child = await startChild(app, { LOG_LEVEL: 'debug' })
  const user = await app.createUser({ password: 'Passw0rdOfTheLog' })
  const client = app.as(user, child)
  const api = (path: string) => `${child.url}${path}`
  const json = (path: string, body: unknown, headers = {}) =>
    fetch(api(path), {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    })
  const login = (await (await json('/api/auth/login', { email: user.email, password: 'Passw0rdOfTheLog' })).json()) as {
    access_token: string
  }

  const { body } = await client.post('/api/phone-numbers/create', { display_name: 'Hidden', webhook_url: sink.url })
  const phone = body.phone_number
  const engine_name = `${phone.instance_name}_g1`
  const { controls } = app.sandboxOf(engine_name)
  controls.scan(engine_name, { phone: '628119998887' })
  await eventually(async () => {
    const { body } = await client.get(`/api/phone-numbers/${phone.id}/status`)
    return body.phone_number.status === 'connected'
  })
  const send = (number: string, text: string) =>
    client.post('/api/messages/send-text?wait=1', { token: phone.token, number, text })
  for (const number of ['628111000222', '628000000002', '628000000007', '628000000008', '628000000009', '628000000011'])
    await send(number, `Words to nobody else ${number}`)
  const caption = 'A caption to nobody else'
  const file = Buffer.from('The file of nobody else').toString('base64')
  await client.post('/api/messages/send-media', {
    token: phone.token,
    number: '628111000222',
    mediaType: 'document',
    base64: file,
    caption,
  })
  sink.replyWith(500)
  controls.incoming(engine_name, { chat: '628111000333', text: 'An answer to nobody else', push_name: 'Rahasia' })
  await eventually(() => Promise.resolve(sink.ofType('message.received').length === 1))
  // What goes wrong is logged with more care, not with less.
  const secret = ingressSecret(ENGINE_KEY, engine_name)
  const ingress = (text: string) =>
    fetch(api(`/internal/evolution/${engine_name}`), {
      method: 'POST',
      body: text,
      headers: { 'x-ingress-secret': secret },
    })
  await ingress('{"event":"messages.upsert","apikey":"KeyOfTheInstance","data":{"text":"An answer to nobody else"')
  await json('/api/messages/send-text', { token: phone.token, number: 'no number', text: 'Words to nobody else' })
  await fetch(api(`/api/nothing/${phone.token}?x-api-key=${user.api_key}`))
  controls.setTroubles({ wrong_key: true })
  await client.post('/api/phone-numbers/create', { display_name: 'Hidden' })
  await send('628111000222', 'Words to nobody else')
  controls.clearTroubles()
  const rotated = await client.post('/api/user/api-key/rotate')
  expect(await child.end('SIGTERM')).toBe(0)

  const log = child.output()
  const lines = log.split('\n').filter((line) => line.startsWith('{'))
  expect(lines.length).toBeGreaterThan(20)
  expect(log).toContain('/api/messages/send-text')
  const planted: Record<string, string> = {
    api_key: user.api_key,
    new_api_key: rotated.body.api_key,
    access_token: login.access_token,
    password: 'Passw0rdOfTheLog',
    token: phone.token,
    webhook_secret: phone.webhook_secret,
    engine_key: ENGINE_KEY,
    jwt_secret: JWT_SECRET,
    ingress_secret: secret,
    database_password: app.database.password,
    instance_key: 'KeyOfTheInstance',
    text: 'nobody else',
    recipient: '628111000222',
    magic_recipient: '62800000000',
    sender: '628111000333',
    sender_name: 'Rahasia',
    own_number: '628119998887',
    file,
    qr_code: (phone.qr_code as string).slice(30, 80),
    email: user.email,
  }
  for (const [name, value] of Object.entries(planted)) {
    expect(value?.length).toBeGreaterThan(5)
    expect([name, lines.filter((line) => line.includes(value))]).toEqual([name, []])
  }
}, 60_000)
