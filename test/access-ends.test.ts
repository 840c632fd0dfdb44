import net from 'node:net'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY } })
})
afterAll(() => app.stop())
beforeEach(async () => {
  user = await app.createUser()
})

/** A request whose caller is known already and whose body comes later. */
async function begin(path: string, body: object) {
  await app.db.query('update api_keys set last_used_at = null where user_id = $1', [user.id])
  const text = JSON.stringify(body)
  const socket = net.connect(Number(new URL(app.url).port), '127.0.0.1')
  const head = ['host: x', `x-api-key: ${user.api_key}`, 'content-type: application/json', 'connection: close']
  socket.write(`POST ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\ncontent-length: ${text.length}\r\n\r\n${text[0]}`)
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk.toString()))
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  await eventually(async () => {
    await app.ctx.keyUsage.flush()
    return (await app.db.query('select 1 from api_keys where user_id = $1 and last_used_at is not null', [user.id]))
      .rows[0]
  })
  return async () => {
    socket.write(text.slice(1))
    await ended
    return answer.slice(0, answer.indexOf('\r\n'))
  }
}

describe('what ends while a request is under way', () => {
  it('a key that was rotated away makes no other', async () => {
    const finish = await begin('/api/api-keys', { name: 'mine for ever' })
    const fresh = (await user.post('/api/user/api-key/rotate')).body.api_key as string
    expect(await finish()).toBe('HTTP/1.1 401 Unauthorized')
    expect((await app.withKey(fresh).get('/api/api-keys')).body.api_keys).toHaveLength(1)
  })

  it('nor where a replica without Redis still knows it', async () => {
    const replica = await app.startReplica()
    const there = app.as(user, replica)
    expect((await there.get('/api/user/profile')).status).toBe(200)
    await user.post('/api/user/api-key/rotate')
    expectRefusal(await there.post('/api/api-keys', { name: 'mine for ever' }), 401, 'unauthorized')
    await replica.close()
  })

  it('a user who was suspended makes neither keys nor numbers', async () => {
    const finish = await begin('/api/phone-numbers/create', { display_name: 'Late' })
    const finishKey = await begin('/api/api-keys', { name: 'late' })
    expect((await operatorOf(app.url).post(`/users/${user.id}/suspend`, {})).status).toBe(200)
    expect([await finish(), await finishKey()]).toEqual(['HTTP/1.1 403 Forbidden', 'HTTP/1.1 403 Forbidden'])
  })

  it('an access token of before makes no key', async () => {
    const { access_token } = (await app.api.post('/api/auth/login').send(user)).body
    const { user: caller } = await app.ctx.authenticator.authenticate({ bearer: access_token })
    const access = { user: caller, scopes: ['read' as const], api_key_id: null, expires_at: null }
    await user.post('/api/user/password', { old_password: user.password, new_password: `${user.password}2` })
    const input = { name: 'late', scopes: ['read' as const], rate_limit_per_minute: null, expires_at: null }
    await expect(app.ctx.apiKeys.create({ ...access, rate_limit_per_minute: null }, input)).rejects.toMatchObject({
      code: 'unauthorized',
    })
  })
})

it('a key with a limit of its own makes no key that may ask more often', async () => {
  const made = await user.post('/api/api-keys', { name: 'slow', rate_limit_per_minute: 50 })
  const slow = app.withKey(made.body.api_key.key as string)
  const { id } = made.body.api_key
  for (const rate_limit_per_minute of [null, 51])
    expectRefusal(await slow.patch(`/api/api-keys/${id}`, { rate_limit_per_minute }), 403, 'forbidden')
  expectRefusal(await slow.post('/api/api-keys', { name: 'fast' }), 403, 'forbidden')
  expect((await slow.post('/api/api-keys', { name: 'slower', rate_limit_per_minute: 49 })).status).toBe(201)
})

it('a reset link ends when the password is changed', async () => {
  const { body } = await operatorOf(app.url).post(`/users/${user.id}/password-reset`, {})
  const token = String(body.password_reset.url).split('#')[1]
  const change = { old_password: user.password, new_password: `${user.password}2` }
  expect((await user.post('/api/user/password', change)).status).toBe(200)
  const answer = await app.api.post('/api/auth/reset-password').send({ token, password: 'a new password of a thief' })
  expectRefusal(answer, 401, 'unauthorized')
})
