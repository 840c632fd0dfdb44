import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { INGRESS_HEADER, ingressSecret } from '../src/services/instances.js'
import { NGINX, Nginx, type NginxOptions } from './support/nginx.js'
import { ENGINE_KEY, type TestApp, eventually, startTestApp } from './support/test-app.js'

const MEGABYTE = 1024 * 1024
const told = NGINX ? describe : describe.skip
if (!NGINX) console.log('nginx is not installed here, so test/nginx.test.ts is skipped.')

/** A server that notes what arrives, and does what the path says. */
class Probe {
  arrivals: { method: string; url: string; headers: IncomingMessage['headers']; bytes: number; port: number }[] = []
  readonly server: Server = createServer((req, res) => {
    const arrival = { method: req.method!, url: req.url!, headers: req.headers, bytes: 0, port: req.socket.remotePort! }
    this.arrivals.push(arrival)
    req.on('data', (chunk: Buffer) => (arrival.bytes += chunk.length))
    req.on('end', () => {
      if (req.url!.startsWith('/die')) req.socket.destroy()
      else if (req.url!.startsWith('/api/events/stream')) this.drip(res)
      else res.setHeader('content-type', 'application/json').end(JSON.stringify(arrival))
    })
  })

  private drip(res: ServerResponse) {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: first\n\n')
    this.release = () => res.end('data: last\n\n')
  }

  release = () => {}

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return (this.server.address() as AddressInfo).port
  }
}

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  text: string
  body: any // eslint-disable-line @typescript-eslint/no-explicit-any
}

interface Call {
  method?: string
  headers?: Record<string, string>
  body?: Buffer | string
  ca?: string
}

/** Without the politeness of a client library: the path goes out as it is written. */
function call(port: number, path: string, { method = 'GET', headers = {}, body, ca }: Call = {}): Promise<Answer> {
  const options = { host: '127.0.0.1', port, path, method, headers, agent: false as const }
  return new Promise((resolve, reject) => {
    const heard = (res: IncomingMessage) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const parsed: unknown = /json/.test(res.headers['content-type'] ?? '') ? JSON.parse(text) : undefined
        resolve({ status: res.statusCode!, headers: res.headers, text, body: parsed })
      })
    }
    const req = ca ? httpsRequest({ ...options, ca, servername: 'localhost' }, heard) : httpRequest(options, heard)
    req.on('error', reject)
    req.end(body)
  })
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(servers.map((s) => new Promise<void>((resolve) => s.listen(0, '127.0.0.1', resolve))))
  const ports = servers.map((s) => (s.address() as AddressInfo).port)
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))))
  return ports
}

const running: Nginx[] = []
async function startNginx(upstream: number | number[], options: Partial<NginxOptions> = {}) {
  const [http, https] = (await freePorts(2)) as [number, number]
  const nginx = new Nginx({ http, https, upstream, ...options })
  running.push(nginx)
  nginx.check()
  await nginx.start()
  return { nginx, http, https }
}

afterAll(() => Promise.all(running.map((nginx) => nginx.stop())))

told('nginx in front of the server', () => {
  let app: TestApp
  let http: number
  let nginx: Nginx
  beforeAll(async () => {
    app = await startTestApp({ env: { TRUST_PROXY: '1', RATE_LIMIT_AUTH_PER_MINUTE: '100000' } })
    ;({ http, nginx } = await startNginx(app.server.port))
  })
  afterAll(() => app.stop())

  it('answers /health on port 80', async () => {
    const health = await call(http, '/health')
    expect([health.status, health.body.status]).toEqual([200, 'ok'])
  })

  it('tells who sends a large body in vain what is wrong, and not that the server is away', async () => {
    const user = await app.createUser()
    const body = Buffer.alloc(6 * MEGABYTE, 'x')
    const post = (path: string, key: string) =>
      call(http, path, { method: 'POST', body, headers: { 'x-api-key': key, 'content-type': 'application/json' } })
    for (let n = 0; n < 10; n++) {
      expect((await post('/api/messages/send-media', 'wsk_wrong')).status).toBe(401)
      expect((await post('/api/messages/send-text', user.api_key)).status).toBe(413)
    }
  })

  it('passes a request on with the address of the caller, whatever the caller claims', async () => {
    const user = await app.createUser()
    const forged = { 'x-api-key': user.api_key, 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '203.0.113.9' }
    expect((await call(http, '/api/user/profile', { headers: forged })).status).toBe(200)
    await app.ctx.requestLog.flush()
    const { rows } = await app.db.query<{ ip_address: string }>(
      'select distinct host(ip_address::inet) as ip_address from api_requests where user_id = $1',
      [user.id],
    )
    expect(rows.map((row) => row.ip_address)).toEqual(['127.0.0.1'])
  })

  it('passes a harmless request id on, and gives one to everybody else', async () => {
    const given = await call(http, '/api/user/profile', { headers: { 'x-request-id': 'my-id:1' } })
    expect([given.headers['x-request-id'], given.body.error.request_id]).toEqual(['my-id:1', 'my-id:1'])
    const own = await call(http, '/api/user/profile', { headers: { 'x-request-id': 'a "quoted" id' } })
    expect(own.body.error.request_id).toMatch(/^[0-9a-f]{32}$/)
  })

  it.each([
    '/internal',
    '/internal/evolution/x',
    '//internal/evolution/x',
    '/INTERNAL/evolution/x',
    '/Internal/evolution/x',
    '/%69nternal/evolution/x',
    '/internal%2fevolution/x',
    '/api/../internal/evolution/x',
    '/api/%2e%2e/internal/evolution/x',
    '/./internal/evolution/x',
  ])('keeps %s closed, even with the right secret', async (path) => {
    const headers = { [INGRESS_HEADER]: ingressSecret(ENGINE_KEY, 'x'), 'content-type': 'application/json' }
    expect((await call(http, path, { method: 'POST', headers, body: '{}' })).status).toBe(404)
  })

  it('sends events on at once, and for as long as the reader stays', async () => {
    const user = await app.createUser()
    const lines: string[] = []
    const req = httpRequest({
      host: '127.0.0.1',
      port: http,
      path: '/api/events/stream',
      headers: { 'x-api-key': user.api_key },
    })
    req.on('response', (res) => res.on('data', (chunk: Buffer) => lines.push(chunk.toString())))
    req.on('error', () => {})
    req.end()
    try {
      await app.connectedNumber(user)
      await eventually(() => Promise.resolve(lines.join('').includes('event: phone_number.connected')))
    } finally {
      req.destroy()
    }
  })

  it('writes neither queries nor link pages into its log', async () => {
    await call(http, '/api/user/profile?api_key=planted-in-a-query')
    await call(http, '/link/planted-in-a-link')
    await eventually(() => Promise.resolve(nginx.log('access').includes('"GET /link/..."')))
    expect(nginx.log('access')).not.toContain('planted')
  })
})

told('nginx by itself', () => {
  const probe = new Probe()
  let http: number
  let nginx: Nginx
  beforeAll(async () => {
    ;({ http, nginx } = await startNginx(await probe.listen()))
  })
  afterAll(() => {
    probe.server.closeAllConnections()
    probe.server.close()
  })

  it('takes an upload of 20 MB whole, and answers 413 in our words to one of 40', async () => {
    const body = Buffer.alloc(20 * MEGABYTE, 1)
    expect((await call(http, '/api/messages/send-media', { method: 'POST', body })).body.bytes).toBe(body.length)
    const before = probe.arrivals.length
    const refused = await call(http, '/upload', {
      method: 'POST',
      headers: { 'content-length': String(40 * MEGABYTE) },
    })
    expect([refused.status, refused.body.error.code]).toEqual([413, 'payload_too_large'])
    expect(refused.headers['x-request-id']).toBe(refused.body.error.request_id)
    expect(probe.arrivals.length).toBe(before)
  })

  it('waits longer than the longest poll may take', () => {
    const seconds = /proxy_read_timeout (\d+)s;/.exec(configurationOf(nginx))?.[1]
    expect(Number(seconds)).toBeGreaterThan(60)
  })

  it('does not hold a stream back', async () => {
    const first = await new Promise<string>((resolve, reject) => {
      const req = httpRequest({ host: '127.0.0.1', port: http, path: '/api/events/stream' }, (res) => {
        res.once('data', (chunk: Buffer) => resolve(chunk.toString()))
      })
      req.on('error', reject)
      req.end()
    })
    expect(first).toContain('data: first')
    probe.release()
  })

  describe('before two replicas, one of which dies with the request in its hands', () => {
    const other = new Probe()
    let both: number
    beforeAll(async () => {
      const { port } = probe.server.address() as AddressInfo
      both = (await startNginx([port, await other.listen()])).http
    })
    afterAll(() => {
      other.server.closeAllConnections()
      other.server.close()
    })
    const arrived = (path: string) => [...probe.arrivals, ...other.arrivals].filter(({ url }) => url === path).length

    it.each(['POST', 'PATCH'])('does not send a %s again, which may have arrived', async (method) => {
      const answer = await call(both, `/die-${method}`, { method, body: '{"text":"once"}' })
      expect([answer.status, answer.body.error.code, answer.headers['retry-after']]).toEqual([503, 'unavailable', '5'])
      expect(arrived(`/die-${method}`)).toBe(1)
    })

    it('asks the other one when it was a GET', async () => {
      expect((await call(both, '/die-GET')).status).toBe(503)
      expect(arrived('/die-GET')).toBe(2)
    })

    it('sends a POST to the other one when the first does not even listen', async () => {
      const [nobody] = (await freePorts(1)) as [number]
      const { http: half } = await startNginx([nobody, (probe.server.address() as AddressInfo).port])
      const answers = await Promise.all(
        Array.from({ length: 6 }, () => call(half, '/half', { method: 'POST', body: '{}' })),
      )
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200])
      expect(arrived('/half')).toBe(6)
    })
  })

  it('opens a connection for each request, so that none is written into one that is being closed', async () => {
    for (let n = 0; n < 3; n++) await call(http, '/once')
    expect(new Set(probe.arrivals.slice(-3).map(({ port }) => port)).size).toBe(3)
  })

  it('counts log-ins per address', async () => {
    const paths = ['/api/auth/login', '/api/v1/auth/login', '/API/auth/register']
    const answers = await Promise.all(
      Array.from({ length: 90 }, (_, i) =>
        call(http, paths[i % 3]!, { method: 'POST', headers: { 'x-forwarded-for': `203.0.113.${i}` } }),
      ),
    )
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(15)
    expect([refused[0]!.body.error.code, refused[0]!.headers['retry-after']]).toEqual(['rate_limited', '10'])
  })

  it('sends everybody to the new replica while the file of the rolling restart is there', () => {
    expect(configurationOf(nginx)).toMatch(
      /if \(-f \S+\/run\/saas-api-new\) {\s+set \$saas http:\/\/saas-api-new:3000;/,
    )
  })

  it('answers 503 in our words when nobody is there', async () => {
    const [nobody] = (await freePorts(1)) as [number]
    const alone = await startNginx(nobody)
    const answer = await call(alone.http, '/api/user/profile')
    expect([answer.status, answer.body.error.code]).toEqual([503, 'unavailable'])
  })
})

told('nginx with HTTPS switched on', () => {
  const probe = new Probe()
  let nginx: Nginx
  let http: number
  let https: number
  beforeAll(async () => {
    ;({ nginx, http, https } = await startNginx(await probe.listen(), { tls: true }))
  })
  afterAll(() => {
    probe.server.closeAllConnections()
    probe.server.close()
  })

  it('serves over HTTPS, and tells the server so', async () => {
    const answer = await call(https, '/api/user/profile', { ca: nginx.certificate })
    expect([answer.status, answer.body.headers['x-forwarded-proto']]).toEqual([200, 'https'])
    expect((await call(https, '/internal/evolution/x', { ca: nginx.certificate, method: 'POST' })).status).toBe(404)
  })

  it('moves everything else there, with its method, but not /health', async () => {
    const moved = await call(http, '/api/messages?limit=1', { method: 'POST', headers: { host: 'api.example.com' } })
    expect([moved.status, moved.headers.location]).toEqual([308, 'https://api.example.com/api/messages?limit=1'])
    expect((await call(http, '/health')).status).toBe(200)
    expect((await call(http, '/internal/evolution/x', { method: 'POST' })).status).toBe(308)
  })

  it('lets a certificate be renewed', async () => {
    nginx.write(`${nginx.challenges}/proof`, 'of ownership')
    expect((await call(http, '/.well-known/acme-challenge/proof')).text).toBe('of ownership')
  })

  it('speaks nothing older than TLS 1.2', () => {
    expect(configurationOf(nginx)).toContain('ssl_protocols TLSv1.2 TLSv1.3;')
  })
})

told('an engine on another host, let in as locations.conf says', () => {
  it('reaches the server from an allowed network, and only from there', async () => {
    const app = await startTestApp({ env: { TRUST_PROXY: '1', INGRESS_ALLOW_CIDR: '127.0.0.0/8' } })
    try {
      const change = (text: string) =>
        text.replace('    return 404;', '    allow 127.0.0.0/8; deny all; proxy_pass $saas;')
      const { http } = await startNginx(app.server.port, { change })
      const headers = { [INGRESS_HEADER]: ingressSecret(ENGINE_KEY, 'x_g1'), 'content-type': 'application/json' }
      const post = (path: string) =>
        call(http, path, { method: 'POST', headers, body: '{"event":"unknown.event","data":{}}' })
      expect((await post('/internal/evolution/x_g1')).status).toBe(200)

      const stranger = await app.startReplica({ INGRESS_ALLOW_CIDR: '10.8.0.0/24' })
      const closed = await startNginx(stranger.port, { change })
      const refused = await call(closed.http, '/internal/evolution/x_g1', { method: 'POST', headers, body: '{}' })
      expect([refused.status, refused.body.error.code]).toEqual([404, 'not_found'])
    } finally {
      await app.stop()
    }
  })
})

function configurationOf(nginx: Nginx): string {
  return nginx.text('nginx.conf') + nginx.text('common.conf') + nginx.text('locations.conf')
}
