import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent, fetch, request } from 'undici'
import { INSIDE_URLS } from '../../test/support/inside-urls.js'
import { isPublicAddress } from './public-address.js'
import { TargetGuard, TargetRefused, type Address } from './target-guard.js'

const SETTING = 'WEBHOOK_PRIVATE_TARGETS'
const PUBLIC = '93.184.215.14'

let server: Server
let port: number
let connections: number

beforeAll(async () => {
  server = createServer((req, res) => {
    if (req.url === '/redirect') res.writeHead(302, { location: `http://127.0.0.1:${port}/inside` })
    res.end('inside')
  })
  server.on('connection', () => connections++)
  server.listen(0, '::')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})

afterAll(() => server.close())

beforeEach(() => {
  connections = 0
})

const answers = (...addresses: string[]): Address[] =>
  addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

const NAMES: Record<string, string[]> = {
  'inside.example.com': ['127.0.0.1'],
  'inside6.example.com': ['::1'],
  'mapped.example.com': ['::ffff:127.0.0.1'],
  'private.example.com': ['10.1.2.3'],
  'metadata.example.com': ['169.254.169.254'],
  'metadata6.example.com': ['fd00:ec2::254'],
  'mixed.example.com': [PUBLIC, '127.0.0.1'],
  'mixed6.example.com': ['2606:2800:21f:cb07:6820:80da:af6b:8b2c', '::1'],
  'public.example.com': [PUBLIC],
  'outside.internal': [PUBLIC],
  localhost: ['127.0.0.1'],
  'localhost.': ['127.0.0.1'],
  n8n: ['127.0.0.1'],
  postgres: ['172.18.0.2'],
}

const lookup = (hostname: string): Promise<Address[]> =>
  NAMES[hostname]
    ? Promise.resolve(answers(...NAMES[hostname]))
    : Promise.reject(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }))

const guardOf = (private_targets: string[] = []) => new TargetGuard({ private_targets, setting: SETTING, lookup })

const post = (agent: Agent, url: string) => request(url, { dispatcher: agent, method: 'POST', body: '{}' })

/** Names that resolve inside, by the table above. */
const INSIDE = [
  ...INSIDE_URLS,
  'http://outside.internal:@/',
  'http://inside.example.com:@/',
  'http://inside6.example.com:@/',
  'http://mapped.example.com:@/',
  'http://private.example.com:@/',
  'http://metadata.example.com/',
  'http://metadata6.example.com/',
  'http://mixed.example.com:@/',
  'http://mixed6.example.com:@/',
  'http://postgres:5432/',
  'https://inside.example.com:@/',
]

describe('an inside target', () => {
  test.each(INSIDE)('%s is refused when stored and gets no connection', async (spelling) => {
    const url = spelling.replace('@', String(port))
    const guard = guardOf()

    await expect(guard.checkUrl(url)).rejects.toMatchObject({ name: 'TargetRefused', reason: 'inside' })
    const failure: unknown = await post(guard.dispatcher(), url).catch((error: unknown) => error)

    // A name that nobody knows has nowhere to go; every other one is refused by the guard itself.
    expect(failure).toMatchObject({ code: expect.stringMatching(/^(TARGET_REFUSED|ENOTFOUND)$/) })
    expect(connections).toBe(0)
    await guard.close()
  })

  test.each(['http://127.1:@/', 'http://0x7f000001:@/', 'http://[::ffff:7f00:1]:@/', 'http://①②⑦.⓪.⓪.①:@/'])(
    '%s would be reached without the guard',
    async (spelling) => {
      const agent = new Agent()
      await (await post(agent, spelling.replace('@', String(port)))).body.dump()
      expect(connections).toBe(1)
      await agent.close()
    },
  )

  test('is refused with a sentence that names the target and the setting', async () => {
    const refusal = await guardOf()
      .checkUrl('http://n8n:5678/webhook')
      .catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(TargetRefused)
    expect((refusal as Error).message).toContain(`have n8n:5678 added to ${SETTING}`)
    await expect(guardOf().checkUrl('https://[::1]/')).rejects.toThrow('[::1]:443')
  })

  test('is not reached by an answer that changes after the check (rebinding)', async () => {
    const turns = [answers(PUBLIC), answers('127.0.0.1')]
    const rebinding = () => Promise.resolve(turns.shift()!)
    const guard = new TargetGuard({ private_targets: [], setting: SETTING, lookup: rebinding })
    const url = `http://rebind.example.com:${port}/`

    await expect(guard.checkUrl(url)).resolves.toBeInstanceOf(URL)
    await expect(post(guard.dispatcher(), url)).rejects.toMatchObject({ code: 'TARGET_REFUSED' })
    expect(turns).toHaveLength(0)
    expect(connections).toBe(0)
    await guard.close()
  })

  test('is judged anew for each connection, and resolved only once for each', async () => {
    const turns = [answers('127.0.0.1'), answers('127.0.0.2')]
    const guard = new TargetGuard({
      private_targets: ['127.0.0.1'],
      setting: SETTING,
      lookup: () => Promise.resolve(turns.shift()!),
    })
    const agent = guard.dispatcher({ pipelining: 0 })
    const url = `http://moving.example.com:${port}/`

    await (await post(agent, url)).body.dump()
    await expect(post(agent, url)).rejects.toMatchObject({ code: 'TARGET_REFUSED' })
    expect(connections).toBe(1)
    await guard.close()
  })

  test('is not reached by a redirect', async () => {
    const guard = guardOf([`n8n:${port}`])
    const response = await post(guard.dispatcher(), `http://n8n:${port}/redirect`)
    expect(response.statusCode).toBe(302)
    expect(connections).toBe(1)

    // Even a caller that does follow them is stopped at the next connection.
    const followed = fetch(`http://n8n:${port}/redirect`, { dispatcher: guard.dispatcher() })
    await expect(followed).rejects.toMatchObject({ cause: { code: 'TARGET_REFUSED' } })
    await response.body.dump()
    await guard.close()
  })
})

describe('an allowed private target', () => {
  test.each([
    ['n8n', 'n8n'],
    ['N8N:@', 'n8n'],
    ['127.0.0.1:@', '127.0.0.1'],
    ['127.0.0.0/8', '127.0.0.1'],
    ['127.0.0.0/8', 'inside.example.com'],
    ['127.0.0.1', 'localhost'],
    ['loopback', 'localhost'],
    ['loopback:@', 'localhost.'],
    ['loopback', '[::1]'],
    ['[::1]:@', '[::1]'],
    ['::1', '[::1]'],
    ['::1', 'inside6.example.com'],
    ['localhost', 'localhost'],
  ])('%s lets %s be called', async (target, host) => {
    const guard = guardOf([target.replace('@', String(port))])
    const url = `http://${host}:${port}/hook`

    await expect(guard.checkUrl(url)).resolves.toMatchObject({ pathname: '/hook' })
    const response = await post(guard.dispatcher({ keepAliveTimeout: 4000, connectTimeout: 5000 }), url)
    expect([response.statusCode, await response.body.text()]).toEqual([200, 'inside'])
    await guard.close()
  })

  test.each([
    ['n8n:1', 'n8n'],
    ['n8n', 'postgres'],
    ['127.0.0.1:1', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.2'],
    ['127.0.0.1', '[::ffff:127.0.0.1]'],
    ['127.0.0.1', 'mixed6.example.com'],
    ['10.0.0.0/8', '127.0.0.1'],
    ['loopback', '10.0.0.1'],
    ['loopback', '0.0.0.0'],
    ['loopback', 'outside.internal'],
    ['localhost', '127.0.0.1'],
    ['localhost', 'app.localhost'],
  ])('%s does not open %s', async (target, host) => {
    const guard = guardOf([target])
    const url = `http://${host}:${port}/`

    await expect(guard.checkUrl(url)).rejects.toMatchObject({ reason: 'inside' })
    await expect(post(guard.dispatcher(), url)).rejects.toMatchObject({
      code: expect.stringMatching(/^(TARGET_REFUSED|ENOTFOUND)$/),
    })
    expect(connections).toBe(0)
    await guard.close()
  })

  test.each([
    '',
    'http://n8n:5678',
    '10.0.0.0/99',
    '300.1.1.1',
    '10.0.0',
    'n8n:0',
    'n8n:70000',
    '[n8n]:80',
    'a b',
    '*',
  ])('cannot be written %j', (entry) => expect(() => guardOf([entry])).toThrow(new RegExp(`^${SETTING}: "`)))
})

describe('a URL', () => {
  test.each([
    ['', 'malformed'],
    ['example.com/webhook', 'malformed'],
    ['http://', 'malformed'],
    ['https://exa mple.com/', 'malformed'],
    ['http://256.1.1.1/', 'malformed'],
    ['http://[::1/', 'malformed'],
    ['http://[fe80::1%25eth0]/', 'malformed'],
    ['http://example.com:99999/', 'malformed'],
    ['ftp://example.com/', 'scheme'],
    ['file:///etc/passwd', 'scheme'],
    ['gopher://127.0.0.1:6379/_FLUSHALL', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['https://user:pass@example.com/', 'credentials'],
    ['https://user@example.com/', 'credentials'],
    ['https://:pass@example.com/', 'credentials'],
    ['https://public.example.com:80@127.0.0.1/', 'credentials'],
    ['http://public.example.com:0/', 'port'],
    ['http://./', 'malformed'],
    [`https://example.com/${'a'.repeat(2048)}`, 'too_long'],
  ])('%s is refused: %s', async (url, reason) => {
    const refusal = await guardOf()
      .checkUrl(url)
      .catch((error: unknown) => error)
    expect(refusal).toMatchObject({ name: 'TargetRefused', reason, message: expect.stringMatching(/^[A-Z].+\.$/) })
  })

  test.each([
    'https://public.example.com/hook?x=1#y',
    'http://public.example.com:8080/',
    `http://${PUBLIC}/`,
    'https://[2606:4700:4700::1111]/',
    'https://nobody-knows-this.example.com/',
    'https://public.example.com:22/',
  ])('%s is accepted', async (url) => {
    expect((await guardOf().checkUrl(url)).href).toBe(new URL(url).href)
  })

  test('whose name does not resolve is accepted when stored and fails at the attempt', async () => {
    const guard = guardOf()
    const url = 'http://nobody-knows-this.example.com/'
    await expect(guard.checkUrl(url)).resolves.toBeInstanceOf(URL)
    await expect(post(guard.dispatcher(), url)).rejects.toMatchObject({ code: 'ENOTFOUND' })
    await guard.close()
  })

  test('is judged by the real resolver where none is given', async () => {
    const guard = new TargetGuard({ private_targets: [], setting: SETTING })
    await expect(guard.checkUrl(`http://localhost:${port}/`)).rejects.toMatchObject({ reason: 'inside' })
    await expect(post(guard.dispatcher(), `http://localhost:${port}/`)).rejects.toMatchObject({ reason: 'inside' })
    expect(connections).toBe(0)
    await guard.close()
  })
})

describe('an address', () => {
  test.each([
    PUBLIC,
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700:4700::1111',
    '2001:4860:4860::8888',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))

  test.each([
    '',
    'example.com',
    '127.1',
    '192.88.99.1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '3fff::1',
    '5f00::1',
    '100::1',
  ])('%j is not', (address) => expect(isPublicAddress(address)).toBe(false))
})

describe('names of users', () => {
  /** A name server that knows some addresses and leaves every other question without an answer. */
  async function nameServer(known: Record<string, number[]>) {
    const socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    socket.on('message', (question, { port, address }) => {
      const found = known[nameIn(question)]
      if (!found) return
      const asksA = question[question.indexOf(0, 12) + 2] === 1
      const head = Buffer.from([0x81, 0x80, 0, 1, 0, asksA ? 1 : 0, 0, 0, 0, 0])
      // RFC 1035 §4.1: the name is the one at byte 12; type A, class IN, 60 seconds, four bytes.
      const record = asksA ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...found]) : Buffer.alloc(0)
      const asked = question.subarray(12, question.indexOf(0, 12) + 5)
      socket.send(Buffer.concat([question.subarray(0, 2), head, asked, record]), port, address)
    })
    const resolver = new Resolver({ timeout: 50, tries: 1 })
    resolver.setServers([`127.0.0.1:${socket.address().port}`])
    return { resolver, close: () => socket.close() }
  }

  function nameIn(question: Buffer): string {
    const labels: string[] = []
    for (let at = 12; question[at]! > 0; at += question[at]! + 1)
      labels.push(question.toString('latin1', at + 1, at + 1 + question[at]!))
    return labels.join('.').toLowerCase()
  }

  it('are asked of a resolver of their own, and one that is silent counts as unresolvable', async () => {
    const { resolver, close } = await nameServer({ 'out.example': [93, 184, 216, 34], 'in.example': [10, 0, 0, 1] })
    const guard = new TargetGuard({ private_targets: [], setting: SETTING, resolver })
    expect((await guard.checkUrl('http://out.example/a')).href).toBe('http://out.example/a')
    await expect(guard.checkUrl('http://in.example/')).rejects.toThrow(/not on the public internet/)
    expect((await guard.checkUrl('http://silent.example/')).hostname).toBe('silent.example')
    const posted = guard.dispatcher().request({ origin: 'http://silent.example', path: '/', method: 'GET' })
    await expect(posted).rejects.toMatchObject({ code: 'ENOTFOUND' })
    await guard.close()
    close()
  })
})
