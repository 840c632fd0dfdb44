import { buildApp } from '../src/app.js'
import { ENTRIES, type Ids, text } from './support/entries.js'
import { type Route, routesOf } from './support/routes.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let owner: TestUser
let stranger: TestUser
let phone: ConnectedNumber
let owned: Ids
let routes: Route[]
beforeAll(async () => {
  app = await startTestApp()
  routes = routesOf(buildApp(app.ctx))
  owner = await app.createUser()
  stranger = await app.createUser()
  phone = await app.connectedNumber(owner, { webhook_url: 'http://127.0.0.1:9/' })
  const sent = await owner.post('/api/messages/send-text', { token: phone.token, ...text })
  const id = async (query: string) =>
    (await app.db.query(`${query} where user_id = $1 limit 1`, [owner.id])).rows[0]!.id
  await eventually(() => id('select d.id from deliveries d join webhooks w on w.id = d.webhook_id'))
  owned = {
    phone_number: phone.id,
    token: phone.token,
    message: sent.body.message.id,
    webhook: await id('select id from webhooks'),
    delivery: await id('select d.id from deliveries d join webhooks w on w.id = d.webhook_id'),
    event: await id('select public_id as id from events'),
    api_key: await id('select id from api_keys'),
  }
})
afterAll(() => app.stop())

const titles = Object.keys(ENTRIES)
const privates = titles.filter((title) => !('open' in ENTRIES[title]!))
const shared = privates.filter((title) => !('own' in ENTRIES[title]!))

const MISSING: Ids = {
  phone_number: 999_999_999,
  token: `wst_${'x'.repeat(32)}`,
  message: 999_999_999,
  webhook: 999_999_999,
  delivery: 999_999_999,
  event: `evt_${'x'.repeat(22)}`,
  api_key: 999_999_999,
}

/** The call of an entry, aimed at what the owner has or at what nobody has. */
function call(title: string, ids: Ids) {
  const it = ENTRIES[title]!
  const [method, pattern] = title.split(' ') as [string, string]
  const path = pattern.replace(':id', 'id' in it ? String(ids[it.id]) : '1')
  const body = 'names' in it ? it.names(ids) : 'body' in it ? it.body : undefined
  const request = app.api[method.toLowerCase() as 'get' | 'post' | 'patch' | 'delete'](path)
  return body ? request.send(body) : request
}

// The operator's routes have a table of their own: admin-access.test.ts.
it('every route has an entry here, and every entry its route', () => {
  const found = routes.map(({ method, path }) => `${method} ${path}`)
  expect(found.filter((title) => !/ \/api\/(v1|admin)\//.test(title)).sort()).toEqual([...titles].sort())
})

describe('without a good key', () => {
  it.each(privates)('%s answers 401', async (title) => {
    const bearer = (token: string) => call(title, owned).set('authorization', token)
    for (const refused of [
      await call(title, owned),
      await call(title, owned).set('x-api-key', `wsk_${'x'.repeat(43)}`),
      await call(title, owned).set('x-api-key', phone.token), // a number's token is not a key
      await bearer(`Bearer wsk_${'x'.repeat(43)}`),
      await bearer('Bearer eyJhbGciOiJub25lIn0.e30.'),
      await bearer('Basic YWRtaW46YWRtaW4='),
    ])
      expectRefusal(refused, 401, 'unauthorized')
  })
})

describe('a stranger', () => {
  it.each(shared)('gets the answer of a missing one from %s', async (title) => {
    const foreign = await call(title, owned).set('x-api-key', stranger.api_key)
    const missing = await call(title, MISSING).set('x-api-key', stranger.api_key)
    expectRefusal(foreign, 404, 'not_found')
    expectRefusal(missing, 404, 'not_found')
    expect({ ...foreign.body.error, request_id: null }).toEqual({ ...missing.body.error, request_id: null })
  })

  it('has changed nothing by all that', async () => {
    const { body } = await owner.get('/api/phone-numbers')
    expect(body.phone_numbers).toMatchObject([{ id: phone.id, status: 'connected', token: phone.token }])
    expect(phone.controls.ledger.total).toBe(1)
    expect((await app.db.query('select 1 from messages')).rowCount).toBe(1)
    expect((await owner.get('/api/user/profile')).status).toBe(200)
  })
})
