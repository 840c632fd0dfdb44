import net from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { request } from 'undici'
import { rawExchange } from './support/raw-exchange.js'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

const AT_ONCE = 10

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp({ env: { MAX_ACTIVE_REQUESTS: String(AT_ONCE) } })
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(() => app.stop())

const send = (wait = 15) =>
  user.post(`/api/messages/send-text?wait=${wait}`, { token: phone.token, number: '628000000001', text: 'Hi' })

/** Requests that are being worked on for as long as we like: their bodies do not end. */
function occupy(count: number) {
  const head = ['POST /api/phone-numbers/create HTTP/1.1', 'host: x', `x-api-key: ${user.api_key}`]
  const text = [...head, 'content-type: application/json', 'content-length: 100', '', '{'].join('\r\n')
  const sockets = Array.from({ length: count }, () =>
    net.connect(app.server.port, '127.0.0.1').on('error', () => undefined),
  )
  for (const socket of sockets) socket.write(text)
  return () => sockets.forEach((socket) => socket.destroy())
}
const busy = async () => expect((await user.get('/api/user/profile')).status).toBe(503)

it('beyond what is worked on at once, callers hear it at once, and health and engines are served', async () => {
  const release = occupy(AT_ONCE)
  await eventually(busy)
  const refused = await send()
  expectRefusal(refused, 503, 'unavailable')
  expect(refused.headers['retry-after']).toBe('2')
  for (const address of ['/api/user/profile', '/API/v1/user/profile', 'http://elsewhere/api/user/profile'])
    expect(
      await rawExchange(`GET ${address} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`, app.server.port),
    ).toMatch(/^HTTP\/1\.1 503 /)
  for (const path of ['/livez', '/readyz', '/health']) expect((await app.api.get(path)).status).toBe(200)
  const event = { event: 'connection.update', data: { state: 'open', statusReason: 200 } }
  expect((await app.engineSays(phone.engine_name, event)).status).toBe(200)
  release()
  await eventually(async () => expect((await user.get('/api/user/profile')).status).toBe(200))
})

it('callers who only wait for something to happen take nobody’s place', async () => {
  const callers = [user, await app.createUser(), await app.createUser()]
  const leave = new AbortController()
  for (let n = 1; n <= 3 * AT_ONCE; n++) {
    const headers = { 'x-api-key': callers[n % 3]!.api_key }
    const path = '/api/events?wait=60&after=latest'
    request(`${app.url}${path}`, { headers, signal: leave.signal }).catch(() => undefined)
    await eventually(() => Promise.resolve(app.ctx.feedWatch.size >= n))
  }
  expect((await user.get('/api/user/profile')).status).toBe(200)
  leave.abort()
})

it('a database that does not keep up is told to callers, and is over when it is', async () => {
  const { rows } = await app.db.query<{ n: number }>('select count(*) as n from messages')
  const before = rows[0]!.n
  const release = await lockLanes()
  const held = Array.from({ length: 4 }, () => send(0).then((answer) => answer.status))
  try {
    await eventually(async () => expectRefusal(await user.get('/api/user/profile'), 503, 'unavailable'))
    expect((await app.api.get('/livez')).status).toBe(200)
  } finally {
    await release()
  }
  expect(await Promise.all(held)).toEqual([202, 202, 202, 202].map(() => expect.any(Number)))
  await eventually(async () => expect((await send()).status).toBe(200))
  await eventually(async () => {
    const { rows: after } = await app.db.query<{ n: number }>(
      `select count(*) as n from messages where direction = 'outgoing'`,
    )
    expect(after[0]!.n).toBeGreaterThan(before)
  })
})

/** Nothing can be accepted while somebody else holds the lane. */
async function lockLanes() {
  let open: () => void = () => undefined
  const closed = new Promise<void>((resolve) => (open = resolve))
  let locked: () => void = () => undefined
  const taken = new Promise<void>((resolve) => (locked = resolve))
  const held = app.db.transaction(async (tx) => {
    await tx.query('select 1 from lanes where phone_number_id = $1 for update', [phone.id])
    locked()
    await closed
  })
  await taken
  return async () => {
    open()
    await held
  }
}

it('far beyond what it can do it still does most of that, and is well again afterwards', async () => {
  const replica = await app.startReplica({ MAX_ACTIVE_REQUESTS: '16' })
  const headers = { 'x-api-key': user.api_key }
  /** Callers who ask again as soon as they are answered, and a little later where they are refused. */
  const load = async (callers: number, ms: number) => {
    const end = performance.now() + ms
    const counts = { served: 0, refused: 0 }
    const call = async () => {
      while (performance.now() < end) {
        const { statusCode, body } = await request(`${replica.url}/api/messages?limit=200`, { headers })
        await body.dump()
        counts[statusCode === 200 ? 'served' : 'refused']++
        if (statusCode !== 200) await pause(100)
      }
    }
    await Promise.all(Array.from({ length: callers }, call))
    return counts
  }
  await load(16, 500)
  const peak = await load(16, 2_000)
  const over = await load(160, 2_000)
  const after = await load(16, 1_000)
  expect(over.refused).toBeGreaterThan(0)
  expect(over.served).toBeGreaterThan(0.6 * peak.served)
  expect(after.refused).toBeLessThan(after.served / 10)
})
