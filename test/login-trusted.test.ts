import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { TRUST_PROXY: '1' } })
  user = await app.createUser()
})
afterAll(() => app.stop())

const logIn = (password: string) =>
  app.api.post('/api/auth/login').set('x-forwarded-for', '203.0.113.9').send({ email: user.email, password })
const guess = () => logIn('a wrong guess')

it('slows down who guesses from where the owner was before, as well', async () => {
  expect((await logIn(user.password)).status).toBe(200)
  for (let n = 0; n < 5; n++) expectRefusal(await guess(), 401, 'unauthorized')
  expectRefusal(await guess(), 429, 'rate_limited')
})
