import request from 'supertest'
import { readConfig } from '../src/config.js'
import { createLogger } from '../src/logger.js'
import { type RunningServer, startServer } from '../src/server.js'
import { INGRESS_HEADER, ingressSecret } from '../src/services/instances.js'
import { ENGINE_KEY, JWT_SECRET, type TestApp, environmentOf, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

/** Each is written into the product where such a thing belongs, and must be found nowhere it does not. */
const PLANTED = {
  'the global key of the engines': ENGINE_KEY,
  'the secret of access tokens': JWT_SECRET,
  "an instance's own key": 'PLANTED-INSTANCE-KEY-0123456789',
  'a password': 'Planted-Passw0rd-1!',
  'a wrong password': 'Planted-Wr0ng-Passw0rd!',
  'a new password': 'Planted-N3w-Passw0rd!',
  'a header of a webhook': 'Bearer PLANTED-HEADER-VALUE',
  'a private text': 'Planted words to a friend',
  'a recipient': '628000000001',
}

let app: TestApp
let sink: WebhookSink
let server: RunningServer
/** Learned while it runs: keys, access tokens, tokens, signing secrets. */
const issued: Record<string, string> = {}
const logged: string[] = []
const answered: { call: string; text: string }[] = []

const http = () => request(server.url)
async function told(call: request.Test): Promise<request.Response> {
  const answer = await call
  answered.push({ call: `${call.method} ${call.url}`, text: answer.text + JSON.stringify(answer.headers) })
  return answer
}

beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
  const log = createLogger('debug', { write: (line: string) => void logged.push(line) })
  server = await startServer(
    readConfig({ ...(await environmentOf(app.database, app.sandboxes)), LOG_LEVEL: 'debug' }),
    log,
  )
  await live()
})
afterAll(async () => {
  await server.close()
  await app.stop()
  await sink.stop()
})

/** A life with every secret in it, and with the mistakes that make programs talkative. */
async function live() {
  const credentials = { email: 'planted@example.com', password: PLANTED['a password'] }
  const user = (
    await http()
      .post('/api/auth/register')
      .send({ ...credentials, plan_type: 'business' })
  ).body.user
  issued['an API key'] = user.api_key
  const key = { 'x-api-key': user.api_key as string }
  issued['an access token'] = (await http().post('/api/auth/login').send(credentials)).body.access_token
  await told(
    http()
      .post('/api/auth/login')
      .send({ ...credentials, password: PLANTED['a wrong password'] }),
  )
  await told(
    http()
      .post('/api/auth/register')
      .send({ ...credentials, password: PLANTED['a wrong password'] }),
  )
  await told(
    http()
      .post('/api/auth/login')
      .set('content-type', 'application/json')
      .send(`{"password":"${PLANTED['a password']}`),
  )
  const bearer = { authorization: `Bearer ${issued['an access token']}` }
  const change = { old_password: PLANTED['a password'], new_password: PLANTED['a new password'] }
  issued['another access token'] = (await http().post('/api/user/password').set(key).send(change)).body.access_token
  await told(http().get('/api/user/profile').set(bearer))
  issued['a second API key'] = (await http().post('/api/api-keys').set(key).send({ name: 'n8n' })).body.api_key.key

  const create = { display_name: 'Shop', webhook_url: sink.url }
  const phone = (await http().post('/api/phone-numbers/create').set(key).send(create)).body.phone_number
  issued["a number's token"] = phone.token
  issued['a signing secret'] = phone.webhook_secret
  const headers = { authorization: PLANTED['a header of a webhook'] }
  await http()
    .post('/api/webhooks')
    .set(key)
    .send({ url: sink.url, headers, event_types: ['message.status'] })
  await talk(key, phone)
  await stumble(key, phone)
  for (const path of [
    'user/profile',
    'api-keys',
    'webhooks',
    'requests',
    'user/export',
    'dashboard',
    'statistics',
    'events',
  ])
    await told(http().get(`/api/${path}`).set(key))
  await server.context.requestLog.flush()
  await server.context.keyUsage.flush()
}

async function talk(key: Record<string, string>, phone: { id: number; token: string; instance_name: string }) {
  const engineName = `${phone.instance_name}_g1`
  app.sandboxOf(engineName).controls.scan(engineName)
  const status = async () =>
    (await http().get(`/api/phone-numbers/${phone.id}/status`).set(key)).body.phone_number.status
  await eventually(async () => (await status()) === 'connected')
  const text = { token: phone.token, number: PLANTED['a recipient'], text: PLANTED['a private text'] }
  await http().post('/api/messages/send-text').set(key).send(text)
  for (const body of [
    {
      event: 'connection.update',
      data: { state: 'open' },
      apikey: PLANTED["an instance's own key"],
      server_url: 'http://inside',
    },
    { event: 'never.heard.of', data: {}, apikey: PLANTED["an instance's own key"] },
    `{"event":"broken","apikey":"${PLANTED["an instance's own key"]}"`,
  ])
    await told(
      http()
        .post(`/internal/evolution/${engineName}`)
        .set(INGRESS_HEADER, ingressSecret(ENGINE_KEY, engineName))
        .set('content-type', 'application/json')
        .send(typeof body === 'string' ? body : JSON.stringify(body)),
    )
  await eventually(() => Promise.resolve(sink.received.length > 0))
}

/** Errors of engines, of callers and of the database, which libraries like to decorate with what they know. */
async function stumble(key: Record<string, string>, phone: { id: number; token: string }) {
  await told(http().get('/api/user/profile').set('x-api-key', `${key['x-api-key']}x`))
  await told(http().get(`/api/phone-numbers/${phone.token}/status`).set(key))
  await told(http().get(`/api/no-such-route/${phone.token}`).set(key))
  await told(http().post('/api/messages/send-text').set(key).send({ token: phone.token, number: 'x', text: 1 }))
  for (const { controls } of app.sandboxes) controls.setTroubles({ refuse: 'close' })
  await server.crew.monitor.checkAll()
  await told(http().post('/api/phone-numbers/create').set(key).send({ display_name: 'Fails' }))
  const text = { token: phone.token, number: PLANTED['a recipient'], text: PLANTED['a private text'] }
  await told(http().post('/api/messages/send-text?wait=1').set(key).send(text))
  for (const { controls } of app.sandboxes) controls.clearTroubles()
  await server.crew.monitor.checkAll()
}

const secrets = () => ({ ...PLANTED, ...issued })
const found = (text: string, names: string[]) =>
  names.filter((name) => text.includes((secrets() as Record<string, string>)[name]!))
const all = () => Object.keys(secrets())
const except = (...allowed: string[]) => all().filter((name) => !allowed.includes(name))

it('no log line holds one, nor a word or a recipient, on the most talkative level', () => {
  expect(logged.length).toBeGreaterThan(30)
  for (const line of logged) expect({ line, found: found(line, all()) }).toEqual({ line, found: [] })
})

it('no answer holds one but the one that issued it', () => {
  expect(answered.length).toBeGreaterThan(15)
  const own = ['a private text', 'a recipient'] // the user's own words, in the export and in events
  for (const { call, text } of answered)
    expect({ call, found: found(text, except(...own)) }).toEqual({ call, found: [] })
})

it('no webhook is told one but the headers it was given', () => {
  for (const { text, headers } of sink.received) {
    expect(found(text, except('a private text', 'a recipient'))).toEqual([])
    expect(found(JSON.stringify(headers), except('a header of a webhook'))).toEqual([])
  }
})

it('no table holds one that need not be read again', async () => {
  // A number's token is for its owner to read, the signing secret and the headers are needed to deliver.
  const stored = ["a number's token", 'a signing secret', 'a header of a webhook', 'a private text', 'a recipient']
  const { rows } = await app.db.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'public'`,
  )
  expect(rows.length).toBeGreaterThan(20)
  for (const { name } of rows) {
    const { rows: lines } = await app.db.query<{ line: string }>(`select t::text as line from "${name}" t`)
    for (const { line } of lines) {
      const inHex = (text: string) => line.includes(Buffer.from(text).toString('hex'))
      const plain = found(line, except(...stored))
      const hidden = except(...stored).filter((secret) => inHex((secrets() as Record<string, string>)[secret]!))
      expect({ name, plain, hidden }).toEqual({ name, plain: [], hidden: [] })
    }
  }
})
