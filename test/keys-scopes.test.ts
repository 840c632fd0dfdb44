import { buildApp } from '../src/app.js'
import type { Scope } from '../src/db/api-keys.js'
import { expectRefusal } from './support/refusal.js'
import { type Route, routesOf } from './support/routes.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'

const ALL = ['send', 'read', 'numbers', 'webhooks', 'account']

let app: TestApp
let user: TestUser
let routes: Route[]
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
  routes = routesOf(buildApp(app.ctx)).filter(({ path }) => path.startsWith('/api/') && !path.startsWith('/api/v1'))
})
afterAll(() => app.stop())

/** Calls with a fresh key of these rights. */
async function keyWith(scopes: string[], fields: object = {}) {
  const { body } = await user.post('/api/api-keys', { name: scopes.join(' '), scopes, ...fields })
  return app.withKey(body.api_key.key as string)
}

it('every route behind a key says which scopes it wants', () => {
  const without = routes.filter(
    ({ path, scopes }) => !path.startsWith('/api/auth/') && !path.startsWith('/api/admin') && !scopes,
  )
  expect(without).toEqual([])
})

it.each(ALL)('a key without %s is refused where it is wanted, before anything is read', async (scope) => {
  const weak = await keyWith(ALL.filter((other) => other !== scope))
  const wanting = routes.filter(({ scopes }) => scopes?.includes(scope as Scope))
  expect(wanting.length).toBeGreaterThan(0)
  for (const { method, path } of wanting) {
    const address = path.replace(/:\w+/, '999999999')
    const verb = method.toLowerCase() as 'get' | 'post' | 'patch' | 'delete'
    const refused = await weak[verb](address)
    expectRefusal(refused, 403, 'forbidden')
    expect(refused.body.error.details).toMatchObject({ missing: [scope] })
  }
  expect((await user.get('/api/user/profile')).status).toBe(200)
})

it('a key that may only read cannot send, and one that may only send cannot read', async () => {
  const phone = await app.connectedNumber(user)
  const text = { token: phone.token, number: '628000000001', text: 'Hi' }
  const reader = await keyWith(['read'])
  const sender = await keyWith(['send'])
  expectRefusal(await reader.post('/api/messages/send-text', text), 403, 'forbidden')
  expect(phone.controls.ledger.total).toBe(0)
  expect((await reader.get('/api/messages')).body.messages).toEqual([])
  expect((await sender.post('/api/messages/send-text', text)).status).toBe(200)
  expectRefusal(await sender.get('/api/messages'), 403, 'forbidden')
})

it('the key of the registration and an access token may do everything', async () => {
  const { body } = await app.api.post('/api/auth/login').send({ email: user.email, password: user.password })
  const bearer = { authorization: `Bearer ${body.access_token}` }
  expect((await app.api.get('/api/api-keys').set(bearer)).status).toBe(200)
  expect((await user.get('/api/api-keys')).body.api_keys.at(-1)).toMatchObject({
    name: 'default',
    scopes: ALL,
    expires_at: null,
    current: true,
  })
})

it('a webhook_url is a webhook: without that scope no key makes, moves or removes one', async () => {
  const phone = await app.connectedNumber(user, { webhook_url: 'https://example.com/mine' })
  const weak = await keyWith(['numbers', 'read'])
  for (const webhook_url of ['https://example.com/theirs', null])
    expectRefusal(await weak.patch(`/api/phone-numbers/${phone.id}`, { webhook_url }), 403, 'forbidden')
  const theirs = { display_name: 'Shop', webhook_url: 'https://example.com/theirs' }
  expectRefusal(await weak.post('/api/phone-numbers/create', theirs), 403, 'forbidden')
  expect((await weak.patch(`/api/phone-numbers/${phone.id}`, { display_name: 'Renamed' })).status).toBe(200)
  const strong = await keyWith(['numbers', 'webhooks'])
  expect((await strong.patch(`/api/phone-numbers/${phone.id}`, { webhook_url: null })).status).toBe(200)
})

describe('a key that may only look after keys', () => {
  it('makes none that may do more than itself, changes none, and rotates none', async () => {
    const weak = await keyWith(['account', 'read'])
    const full = (await user.get('/api/api-keys')).body.api_keys.find(
      ({ name }: { name: string }) => name === 'default',
    )
    for (const refused of [
      await weak.post('/api/api-keys', { name: 'Stronger', scopes: ['send'] }),
      await weak.post('/api/api-keys', { name: 'All by default' }),
      await weak.patch(`/api/api-keys/${full.id}`, { name: 'Mine' }),
      await weak.post(`/api/api-keys/${full.id}/rotate`),
      await weak.post('/api/user/api-key/rotate'),
    ])
      expectRefusal(refused, 403, 'forbidden')
    // Taking rights from a stronger key, or ending it by a date, is ruling over it too.
    for (const change of [{ scopes: ['read'] }, { scopes: ['read'], expires_at: '2099-01-01T00:00:00Z' }])
      expectRefusal(await weak.patch(`/api/api-keys/${full.id}`, change), 403, 'forbidden')
    const own = (await weak.get('/api/api-keys')).body.api_keys.find(({ current }: { current: boolean }) => current)
    expectRefusal(await weak.patch(`/api/api-keys/${own.id}`, { scopes: ALL }), 403, 'forbidden')
    expect((await weak.post('/api/api-keys', { name: 'Equal', scopes: ['read'] })).status).toBe(201)
  })

  it('makes none that lives longer than itself', async () => {
    const soon = new Date(Date.now() + 3_600_000).toISOString()
    const later = new Date(Date.now() + 7_200_000).toISOString()
    const mortal = await keyWith(ALL, { expires_at: soon })
    for (const expires_at of [null, later])
      expectRefusal(await mortal.post('/api/api-keys', { name: 'For ever', expires_at }), 403, 'forbidden')
    expect((await mortal.post('/api/api-keys', { name: 'As long', expires_at: soon })).status).toBe(201)
  })
})
