import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { settingsFrom } from '../options.js'
import { WebhookPoster } from './webhook-poster.js'

const retry = settingsFrom({ name: 'x', api_key: 'x' }).webhook_retry
const quick = { ...retry, initial_delay_ms: 10, max_delay_ms: 20, timeout_ms: 100 }

describe('the webhook poster', () => {
  let received: { body: string; headers: IncomingHttpHeaders }[]
  let statuses: (number | 'hang')[]
  let server: Server
  let url: string
  let poster: WebhookPoster

  beforeEach(async () => {
    received = []
    poster = new WebhookPoster(quick)
    server = createServer((req, res) => {
      let body = ''
      req.on('data', (chunk: Buffer) => (body += chunk.toString()))
      req.on('end', () => {
        received.push({ body, headers: req.headers })
        const status = statuses.shift() ?? 200
        if (status !== 'hang') res.writeHead(status).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  })

  afterEach(async () => {
    await poster.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('repeats the same bytes after 500, 404 and a time-out', async () => {
    statuses = [500, 404, 'hang', 200]
    await poster.post(url, {}, { event: 'send.message' })
    expect(received.map(({ body }) => body)).toEqual(Array(4).fill('{"event":"send.message"}'))
  })

  it('stops at 410', async () => {
    statuses = [500, 410]
    await poster.post(url, {}, {})
    expect(received).toHaveLength(2)
  })

  it('gives up after the last attempt', async () => {
    await poster.close()
    poster = new WebhookPoster({ ...quick, attempts: 3 })
    statuses = [500, 500, 500]
    await poster.post(url, {}, {})
    expect(received).toHaveLength(3)
  })

  it('loses what is pending when it closes', async () => {
    statuses = [500, 500]
    const posted = new WebhookPoster({ ...quick, initial_delay_ms: 60_000 })
    const done = posted.post(url, {}, {})
    while (posted.pending === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await posted.close()
    await done
    expect(received).toHaveLength(1)
  })

  it('replaces jwt_key by a token signed with it', async () => {
    statuses = []
    await poster.post(url, { jwt_key: 'shared-secret', 'x-server': 'one' }, {})
    const { headers } = received[0]!
    const [head, claims, signature] = headers.authorization!.replace('Bearer ', '').split('.')
    expect(headers).toMatchObject({ 'x-server': 'one', 'user-agent': expect.stringMatching(/^axios\//) as string })
    expect(headers).not.toHaveProperty('jwt_key')
    expect(JSON.parse(Buffer.from(claims!, 'base64url').toString())).toMatchObject({
      app: 'evolution',
      action: 'webhook',
    })
    expect(signature).toBe(createHmac('sha256', 'shared-secret').update(`${head}.${claims}`).digest('base64url'))
  })
})
