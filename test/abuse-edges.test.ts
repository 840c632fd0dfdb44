import net from 'node:net'
import { gzipSync } from 'node:zlib'
import { rawExchange } from './support/raw-exchange.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestNumber, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
let phone: TestNumber
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(() => app.stop())

const MB = 1024 * 1024
const key = () => ({ 'x-api-key': user.api_key })
const post = (path = '/api/messages/send-text') => app.api.post(path).set(key()).set('content-type', 'application/json')

/** Supertest would make JSON of a Buffer. */
async function packed(body: Buffer) {
  const headers = { ...key(), 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const answer = await fetch(`${app.url}/api/messages/send-text`, {
    method: 'POST',
    headers,
    body: new Uint8Array(body),
  })
  const { error } = (await answer.json()) as { error?: { code: string } }
  return { status: answer.status, code: error?.code }
}

describe('a body', () => {
  const text = (value: unknown) => JSON.stringify({ token: phone.token, number: '628000000001', text: value })
  const nested = (depth: number, open = '[', close = ']') => open.repeat(depth) + close.repeat(depth)

  it.each<[string, string | Buffer, number]>([
    ['cut short', '{"token":', 400],
    ['nested 100,000 deep in lists', nested(100_000), 400],
    ['nested 100,000 deep in objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 400],
    ['with a NUL', '{"text":"a\\u0000b"}', 400],
    ['with half a surrogate pair', '{"text":"\\ud83d"}', 400],
    ['with bytes that are no UTF-8', Buffer.from('7b2274657874223a22fffe227d', 'hex'), 400],
    ['with __proto__', '{"__proto__":{"admin":true},"text":"a"}', 400],
    ['with __proto__ further in', '{"text":"a","metadata":{"a":{"__proto__":{"b":1}}}}', 400],
    ['with constructor.prototype', '{"constructor":{"prototype":{"polluted":true}},"text":"a"}', 400],
    ['that is a list', '[]', 400],
    ['that is a number', '7', 400],
    ['that is null', 'null', 400],
    ['of numbers beyond all bounds', '{"text":1e999,"token":-1e999}', 400],
    ['of two million characters', JSON.stringify({ text: 'x'.repeat(2 * MB) }), 413],
  ])('%s is refused', async (_what, body, status) => {
    const refused = await post().send(body)
    expectRefusal(refused, status, status === 413 ? 'payload_too_large' : 'invalid_request')
    expect(({} as Record<string, unknown>).polluted ?? ({} as Record<string, unknown>).admin).toBeUndefined()
  })

  it('of a size beyond all bounds is refused from its header, without being read', async () => {
    const head = [
      'POST /api/messages/send-text HTTP/1.1',
      'host: x',
      `x-api-key: ${user.api_key}`,
      'content-type: application/json',
    ]
    const answer = await rawExchange(
      `${[...head, 'content-length: 104857600'].join('\r\n')}\r\n\r\n{"text":"`,
      app.server.port,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer).toMatch(/connection: close/i)
  })

  it.each(['gzip', 'deflate', 'br', 'identity', 'gzip, gzip', 'zstd'])(
    'that claims %s and is not is refused',
    async (encoding) => {
      const refused = await post().set('content-encoding', encoding).send('this is not JSON')
      expectRefusal(refused, 400, 'invalid_request')
    },
  )

  it('that swells from 200 kB to 200 MB is refused at its limit, and leaves no memory behind', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * MB, ' '), { level: 9 })
    expect(bomb.length).toBeLessThan(MB)
    const before = process.memoryUsage().rss
    for (let n = 0; n < 5; n++) expect(await packed(bomb)).toMatchObject({ status: 413, code: 'payload_too_large' })
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MB)
  })

  it('in gzip is read where it is small', async () => {
    expect(await packed(gzipSync(text('Packed')))).toMatchObject({ status: 200 })
  })

  it.each<[string, (form: ReturnType<typeof app.api.post>) => ReturnType<typeof app.api.post>]>([
    ['a field called __proto__', (form) => form.field('__proto__', 'x').field('display_name', 'a')],
    [
      'metadata nested 20,000 deep',
      (form) => form.field('display_name', 'a').field('metadata', `{"a":${nested(20_000)}}`),
    ],
    [
      'a hundred fields',
      (form) => Array.from({ length: 100 }, (_, n) => n).reduce((all, n) => all.field(`f${n}`, 'x'), form),
    ],
    ['a file nobody asked for', (form) => form.attach('file', Buffer.from('x'), 'a.txt').field('display_name', 'a')],
  ])('of multipart with %s is refused', async (_what, fill) => {
    const refused = await fill(app.api.post('/api/phone-numbers/create').set(key()))
    expect([400, 413]).toContain(refused.status)
    expectRefusal(refused, refused.status, /invalid_request|payload_too_large/)
  })

  it('of multipart that never ends is refused when its caller leaves, and harms nobody', async () => {
    const head = [
      'POST /api/phone-numbers/create HTTP/1.1',
      'host: x',
      `x-api-key: ${user.api_key}`,
      'content-length: 500',
    ]
    const socket = net.connect(app.server.port, '127.0.0.1')
    socket.write(
      `${[...head, 'content-type: multipart/form-data; boundary=b'].join('\r\n')}\r\n\r\n--b\r\ncontent-disp`,
    )
    await new Promise((resolve) => socket.write('osition: form-data', resolve))
    socket.destroy()
    expect((await user.get('/api/user/profile')).status).toBe(200)
  })
})

describe('an address', () => {
  it.each(['/api/%', '/api/%ff', '/api/phone-numbers/%00/status', '/api/phone-numbers/1%0d%0aset-cookie:a=b/status'])(
    '%s is refused without a trace in the answer’s headers',
    async (path) => {
      const refused = await user.get(path)
      expect([400, 404]).toContain(refused.status)
      expect(refused.headers['set-cookie']).toBeUndefined()
    },
  )

  it.each([
    '/api/messages?__proto__=1',
    '/api/messages?a[__proto__][b]=1',
    '/api/messages?limit=1&limit=2',
    '/api/messages?limit=%00',
  ])('%s pollutes nothing', async (path) => {
    expect((await user.get(path)).status).toBeLessThan(500)
    expect(Object.keys(Object.prototype)).toEqual([])
  })
})

it('answers run nothing, are framed by nobody and kept nowhere', async () => {
  for (const answer of [
    await user.get('/api/user/profile'),
    await user.get('/api/nothing'),
    await app.api.get('/nothing'),
  ]) {
    expect(answer.headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none';base-uri 'none';form-action 'none'",
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    })
    expect(answer.headers['x-powered-by']).toBeUndefined()
  }
})
