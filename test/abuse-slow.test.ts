import { type Server, createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

/** Far more than one user can use: what is left of it is for the others. */
const AT_ONCE = 300

let app: TestApp
let greedy: TestUser
let other: TestUser
/** Takes requests and says nothing, or the beginning of a file and no more. */
let hanging: Server
let asked: string[]
let hangingUrl: string
beforeAll(async () => {
  app = await startTestApp({ env: { MAX_ACTIVE_REQUESTS: String(AT_ONCE) } })
  hanging = createServer((req, res) => {
    asked.push(req.url!)
    if (req.url === '/file') res.writeHead(200).write('%PDF-1.4')
  })
  await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
  hangingUrl = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}`
})
afterAll(async () => {
  hanging.closeAllConnections()
  hanging.close()
  await app.stop()
})
beforeEach(async () => {
  asked = []
  greedy = await app.createUser()
  other = await app.createUser()
})

/** Sends the same text over so many connections; answers the status lines that have come. */
function sendMany(count: number, text: string, url = app.url) {
  const statuses: string[] = []
  const sockets = Array.from({ length: count }, () => net.connect(Number(new URL(url).port), '127.0.0.1'))
  for (const socket of sockets) {
    socket.on('error', () => undefined).write(text)
    socket.once('data', (chunk) => statuses.push(chunk.toString().slice(9, 12)))
  }
  return { statuses, end: () => sockets.forEach((socket) => socket.destroy()) }
}

function requestOf(user: TestUser, path: string, body: string, length = body.length) {
  const head = [`POST ${path} HTTP/1.1`, 'host: x', `x-api-key: ${user.api_key}`, 'content-type: application/json']
  return [...head, `content-length: ${length}`, '', body].join('\r\n')
}

const isServed = async () => expect((await other.get('/api/user/profile')).status).toBe(200)

it('slow bodies of one user leave the others their room', async () => {
  const many = sendMany(AT_ONCE, requestOf(greedy, '/api/messages/send-text', '{', 100))
  await eventually(() => Promise.resolve(many.statuses.length === AT_ONCE - 100))
  expect(new Set(many.statuses)).toEqual(new Set(['429']))
  await isServed()
  many.end()
  await eventually(async () => {
    expect((await greedy.post('/api/api-keys', { name: 'after' })).status).toBe(201)
  })
})

it('tests of a webhook that hangs, too', async () => {
  const { webhook } = (await greedy.post('/api/webhooks', { url: hangingUrl })).body
  const many = sendMany(AT_ONCE, requestOf(greedy, `/api/webhooks/${webhook.id}/test`, '{}'))
  await eventually(() => Promise.resolve(many.statuses.length === AT_ONCE - 10))
  expect(new Set(many.statuses)).toEqual(new Set(['429']))
  expect(asked).toHaveLength(2)
  await isServed()
  expectRefusal(await greedy.post(`/api/webhooks/${webhook.id}/test`), 429, 'rate_limited')
  many.end()
})

it('files that one user has fetched come two at a time', async () => {
  const phone = await app.connectedNumber(greedy)
  const file = { token: phone.token, number: '628000000003', mediaUrl: `${hangingUrl}/file`, mediaType: 'document' }
  const many = sendMany(60, requestOf(greedy, '/api/messages/send-media', JSON.stringify(file)))
  await eventually(() => Promise.resolve(many.statuses.length === 60 - 52))
  expect(new Set(many.statuses)).toEqual(new Set(['429']))
  expect(asked).toEqual(['/file', '/file'])
  many.end()
})

it('streams, polls and exports that wait behind another call end with their connection', async () => {
  await fillFeed(greedy)
  const { next_cursor } = (await greedy.get('/api/events?limit=500')).body
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${greedy.api_key}\r\n\r\n`
  const poll = get(`/api/events?wait=60&after=${next_cursor}`)
  const logged = () => app.db.query(`select 1 from api_requests where user_id = $1 and status_code = 499`, [greedy.id])
  for (const behind of ['/api/events/stream', `/api/events?wait=60&after=${next_cursor}`]) {
    const many = sendMany(20, poll + get(behind))
    await eventually(() => app.ctx.feedWatch.size === 40)
    many.end()
    await eventually(() => app.ctx.feedWatch.size === 0)
  }
  const leaver = sendMany(1, poll + get('/api/user/export'))
  await eventually(async () => expectRefusal(await greedy.get('/api/user/export'), 409, 'conflict'))
  leaver.end()
  await eventually(async () => expect((await greedy.get('/api/user/export')).status).toBe(200))
  await eventually(async () => expect((await logged()).rowCount).toBe(82))
})

/** More than a connection takes that nobody reads. */
const fillFeed = (user: TestUser) =>
  app.db.query(
    `with filled as (update feeds set last_position = 50 where user_id = $1)
     insert into events (public_id, user_id, position, type, payload)
     select 'evt_' || gen_random_uuid(), $1, n, 'gap', json_build_object('filler', repeat('x', 2000))
       from generate_series(1, 50) n`,
    [user.id],
  )

it('requests that wait behind another on a connection that breaks leave their places', async () => {
  const replica = await app.startReplica({ MAX_ACTIVE_REQUESTS: '10' })
  const { next_cursor } = (await greedy.get('/api/events?limit=500')).body
  const poll = `GET /api/events?wait=60&after=${next_cursor} HTTP/1.1\r\nhost: x\r\nx-api-key: ${greedy.api_key}\r\n\r\n`
  const behind = requestOf(greedy, '/api/api-keys', JSON.stringify({ name: 'x'.repeat(300 * 1024) }))
  const waiting = () => replica.context.feedWatch.size
  for (let round = 0; round < 3; round++) {
    const many = sendMany(4, poll + behind, replica.url)
    await eventually(() => Promise.resolve(waiting() === 4))
    many.end()
    await eventually(() => Promise.resolve(waiting() === 0))
  }
  const there = app.as(other, replica)
  await eventually(async () => expect((await there.get('/api/user/profile')).status).toBe(200))
  for (let n = 0; n < 10; n++)
    expectRefusal(await there.post('/api/api-keys', { name: 'x'.repeat(300 * 1024) }), 400, 'invalid_request')
  await replica.close()
})
