import { expectRefusal } from './support/refusal.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

const profileWith = (headers: Record<string, string>) => app.api.get('/api/user/profile').set(headers)

it('is accepted as x-api-key and as Bearer', async () => {
  const { api_key, id } = await app.createUser()
  for (const [name, value] of [
    ['x-api-key', api_key],
    ['x-api-key', ` ${api_key} `],
    ['authorization', `Bearer ${api_key}`],
  ] as const)
    expect((await profileWith({ [name]: value })).body.user.id).toBe(id)
})

it('wins over a Bearer of somebody else', async () => {
  const ani = await app.createUser()
  const budi = await app.createUser()
  const both = await profileWith({ 'x-api-key': ani.api_key, authorization: `Bearer ${budi.api_key}` })
  expect(both.body.user.id).toBe(ani.id)
  expectRefusal(await profileWith({ 'x-api-key': '', authorization: `Bearer ${budi.api_key}` }), 401, 'unauthorized')
})

it('is rotated: the old one ends at once, the new one works, the profile shows its hint', async () => {
  const user = await app.createUser()
  const other = await app.createUser()
  expect((await user.get('/api/user/profile')).status).toBe(200) // now it is cached
  const rotated = await user.post('/api/user/api-key/rotate')
  expect(rotated.status).toBe(200)
  expect(rotated.body.api_key).toMatch(/^wsk_[\w-]{43}$/)
  expect(rotated.body.api_key).not.toBe(user.api_key)
  expectRefusal(await user.get('/api/user/profile'), 401, 'unauthorized')
  expect((await other.get('/api/user/profile')).status).toBe(200)
  const { body } = await profileWith({ 'x-api-key': rotated.body.api_key })
  expect(body.user.api_key).toBe(`wsk_…${(rotated.body.api_key as string).slice(-4)}`)
})

it('is had again by whoever lost it, with e-mail and password', async () => {
  const { email, password, api_key } = await app.createUser()
  const { body } = await app.api.post('/api/auth/login').send({ email, password })
  const bearer = { authorization: `Bearer ${body.access_token}` }
  const rotated = await app.api.post('/api/user/api-key/rotate').set(bearer)
  expect((await profileWith({ 'x-api-key': rotated.body.api_key })).body.user.email).toBe(email)
  expectRefusal(await profileWith({ 'x-api-key': api_key }), 401, 'unauthorized')
})

it('is one alone after many rotations at once', async () => {
  const { email, password } = await app.createUser()
  const { body } = await app.api.post('/api/auth/login').send({ email, password })
  const bearer = { authorization: `Bearer ${body.access_token}` }
  const rotated = await Promise.all(
    Array.from({ length: 5 }, () =>
      app.api
        .post('/api/user/api-key/rotate')
        .set(bearer)
        .then((answer) => answer),
    ),
  )
  const answers = await Promise.all(
    rotated.map(({ body }) => profileWith({ 'x-api-key': body.api_key }).then(({ status }) => status)),
  )
  expect(answers.sort()).toEqual([200, 401, 401, 401, 401])
})
