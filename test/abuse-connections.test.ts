import net from 'node:net'
import { buildApp } from '../src/app.js'
import { HTTP_LIMITS, createHttpServer } from '../src/http-server.js'
import { rawExchange } from './support/raw-exchange.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
})
afterAll(() => app.stop())

const raw = (text: string, port = app.server.port) => rawExchange(text, port)

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

describe('slow clients', () => {
  async function beside(limits: object) {
    const http = createHttpServer(buildApp(app.ctx), app.ctx.load, { ...HTTP_LIMITS, check_ms: 50, ...limits })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const stop = () => {
      http.closeAllConnections()
      http.close()
    }
    return { port: (http.address() as net.AddressInfo).port, stop }
  }

  it.each<[string, object, string]>([
    ['headers', { headers_ms: 300 }, 'GET /livez HTTP/1.1\r\nhost: x\r\nx-a:'],
    [
      'body',
      { headers_ms: 300, request_ms: 600 },
      'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{',
    ],
  ])('who do not finish their %s are cut off with a 408', async (_what, limits, text) => {
    const { port, stop } = await beside(limits)
    expect(await raw(text, port)).toMatch(/^HTTP\/1\.1 408 /)
    stop()
  })

  it('who say nothing and read nothing are let go', async () => {
    const { port, stop } = await beside({ silence_ms: 300, keep_alive_ms: 60_000 })
    expect(await raw('', port)).toBe('')
    stop()
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
