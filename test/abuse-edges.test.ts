import net from 'node:net'
import { gzipSync } from 'node:zlib'
import { buildApp } from '../src/app.js'
import { HTTP_LIMITS, createHttpServer } from '../src/http-server.js'
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

/** Bytes on a socket, and what comes back until it closes. */
function raw(text: string | Buffer, port = app.server.port): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = net.connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    socket.on('error', () => resolve(answer))
    socket.on('close', () => resolve(answer))
  })
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
    const answer = await raw(`${[...head, 'content-length: 104857600'].join('\r\n')}\r\n\r\n{"text":"`)
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

describe('a header', () => {
  it('that is not harmless in a log or an answer is replaced', async () => {
    for (const id of ['a b', '<script>', 'x'.repeat(65), '../..']) {
      const { headers } = await user.get('/livez').set('x-request-id', id)
      expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    }
  })

  it('larger than 16 kB in all is refused in the usual shape', async () => {
    const answer = await raw(`GET /livez HTTP/1.1\r\nhost: x\r\nx-a: ${'y'.repeat(20_000)}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 431 /)
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({
      success: false,
      error: { code: 'invalid_request' },
    })
  })

  it.each<[string, string]>([
    ['two lengths', 'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}'],
    [
      'a length and chunks',
      'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'chunked twice',
      'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    ],
    ['a bare line feed', 'GET /livez HTTP/1.1\nhost: x\nx-a: b\n\n'],
    ['a space before the colon', 'GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length : 0\r\n\r\n'],
    ['a folded line', 'GET /livez HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n'],
    ['a NUL', 'GET /livez HTTP/1.1\r\nhost: x\r\nx-a: \0\r\n\r\n'],
    ['no host', 'GET /livez HTTP/1.1\r\n\r\n'],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc'],
    [
      'a chunk size that is none',
      'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
    ],
  ])('with %s: the connection ends with a 400, and nothing after it is read', async (_what, text) => {
    const answer = await raw(`${text}GET /livez HTTP/1.1\r\nhost: x\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1)
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

describe('slow clients', () => {
  const limits = { ...HTTP_LIMITS, headers_ms: 300, request_ms: 600, check_ms: 50 }
  const beside = async () => {
    const http = createHttpServer(buildApp(app.ctx), app.ctx.load, limits)
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    return { port: (http.address() as net.AddressInfo).port, http }
  }

  it('who do not finish their headers or their body are cut off with a 408', async () => {
    const { port, http } = await beside()
    expect(await raw('GET /livez HTTP/1.1\r\nhost: x\r\nx-a:', port)).toMatch(/^HTTP\/1\.1 408 /)
    const head = [
      'POST /api/phone-numbers/create HTTP/1.1',
      'host: x',
      `x-api-key: ${user.api_key}`,
      'content-length: 500',
    ]
    expect(await raw(`${[...head, 'content-type: application/json'].join('\r\n')}\r\n\r\n{"display`, port)).toMatch(
      /^HTTP\/1\.1 408 /,
    )
    http.closeAllConnections()
    http.close()
  })

  it('a thousand of them leave the others within twice their time', async () => {
    const median = async () => {
      const times: number[] = []
      for (let n = 0; n < 60; n++) {
        const started = performance.now()
        expect((await user.get('/api/user/profile')).status).toBe(200)
        times.push(performance.now() - started)
      }
      return times.sort((a, b) => a - b)[30]!
    }
    await median() // warm
    const alone = await median()
    const slow = await Promise.all(Array.from({ length: 1000 }, () => slowClient()))
    const among = await median()
    for (const socket of slow) socket.destroy()
    const after = await median()
    expect(among).toBeLessThan(2 * Math.max(alone, after))
  })

  function slowClient(): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(app.server.port, '127.0.0.1', () => {
        socket.write('POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nx-', () => resolve(socket))
      })
      socket.on('error', reject)
    })
  }
})
