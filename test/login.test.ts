import { SignJWT } from 'jose'
import { expectRefusal } from './support/refusal.js'
import { JWT_SECRET, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
})
afterAll(() => app.stop())

const logIn = (email: string, password: string) => app.api.post('/api/auth/login').send({ email, password })
const profile = (token: string) => app.api.get('/api/user/profile').set('authorization', `Bearer ${token}`)

it('answers an access token that works as well as the key, and no key', async () => {
  const { status, body } = await logIn(user.email.toUpperCase(), user.password)
  expect(status).toBe(200)
  expect(body).toMatchObject({ success: true, token_type: 'Bearer', expires_in: 3600, user: { id: user.id } })
  expect(JSON.stringify(body)).not.toContain(user.api_key)
  const { body: shown } = await profile(body.access_token)
  expect(shown.user).toMatchObject({ id: user.id, email: user.email })
})

it('gives a wrong password and an unknown address the same answer', async () => {
  const wrong = await logIn(user.email, 'not the password')
  const unknown = await logIn('nobody@example.com', 'not the password')
  expectRefusal(wrong, 401, 'unauthorized')
  expectRefusal(unknown, 401, 'unauthorized')
  const tell = ({ body }: typeof wrong) => ({ ...body.error, request_id: null })
  expect(tell(unknown)).toEqual(tell(wrong))
})

it('tells passwords apart that differ only after 72 bytes', async () => {
  const long = 'x'.repeat(72)
  const { email } = await app.createUser({ password: `${long}1` })
  expect((await logIn(email, `${long}1`)).status).toBe(200)
  expectRefusal(await logIn(email, `${long}2`), 401, 'unauthorized')
  expectRefusal(await logIn(email, long), 401, 'unauthorized')
})

interface Claims {
  audience?: string
  expires?: string
  sub?: string
  ver?: number | null
}

describe('an access token', () => {
  const key = new TextEncoder().encode(JWT_SECRET)
  const build = ({ audience = 'whatsapp-saas-api', expires = '1h', sub = String(user.id), ver = 1 }: Claims = {}) =>
    new SignJWT({ ver }).setSubject(sub).setAudience(audience).setIssuedAt().setExpirationTime(expires)
  const sign = (token = build(), alg = 'HS256', secret = key) =>
    token.setProtectedHeader({ alg, typ: 'JWT' }).sign(secret)
  const unsigned = async () => {
    const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url')
    return `${header}.${(await sign()).split('.')[1]}.`
  }

  it('is good when made as ours are', async () => {
    expect((await profile(await sign())).status).toBe(200)
  })

  it.each<[string, () => Promise<string>]>([
    ['without a signature (alg none)', unsigned],
    ['with alg none and the signature of another', async () => `${await unsigned()}${(await sign()).split('.')[2]}`],
    ['signed with another algorithm', () => sign(build(), 'HS384')],
    ['signed with another secret', () => sign(build(), 'HS256', new TextEncoder().encode('x'.repeat(32)))],
    ['for another audience', () => sign(build({ audience: 'another-api' }))],
    ['that has expired', () => sign(build({ expires: '-1s' }))],
    ['of a user that does not exist', () => sign(build({ sub: '999999999' }))],
    ['whose subject is no number', () => sign(build({ sub: 'admin' }))],
    ['of an earlier version', () => sign(build({ ver: 0 }))],
    ['without a version', () => sign(build({ ver: null }))],
    ['cut short', async () => (await sign()).slice(0, -4)],
  ])('is refused %s', async (_title, token) => {
    expectRefusal(await profile(await token()), 401, 'unauthorized')
  })
})

it('keeps a suspended user out, with key and with token', async () => {
  const suspended = await app.createUser()
  const { body } = await logIn(suspended.email, suspended.password)
  await app.db.query(`update users set status = 'suspended' where id = $1`, [suspended.id])
  expectRefusal(await suspended.get('/api/user/profile'), 403, 'forbidden')
  expectRefusal(await profile(body.access_token), 403, 'forbidden')
})
