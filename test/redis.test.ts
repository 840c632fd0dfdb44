import type { RunningServer } from '../src/server.js'
import { expectRefusal } from './support/refusal.js'
import { freePorts } from '../src/embedded/free-ports.js'
import { type TestRedis, hasRedis, startRedis } from './support/redis.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

const withRedis = hasRedis ? describe : describe.skip

withRedis('two replicas with one Redis', () => {
  let port: number
  let redis: TestRedis | undefined
  let app: TestApp
  let replica: RunningServer
  beforeAll(async () => {
    port = await freePorts(1)
    const env = { REDIS_URL: `redis://127.0.0.1:${port}`, RATE_LIMIT_PER_MINUTE: '40' }
    app = await startTestApp({ env }) // Redis is not there yet
    replica = await app.startReplica()
  })
  afterAll(async () => {
    await app.stop()
    await redis?.stop()
  })

  const replicas = () => [app.server, replica]
  const redisIs = (state: string) =>
    eventually(async () => {
      const reports = await Promise.all(replicas().map(async ({ url }) => (await fetch(`${url}/readyz`)).json()))
      return reports.every((report) => (report as { checks: { redis: string } }).checks.redis === state)
    })
  const come = async () => {
    redis = await startRedis(port)
    await redisIs('ok')
  }
  const goAway = async () => {
    await redis!.stop()
    redis = undefined
    await redisIs('unavailable')
  }
  /** How many of 60 calls, half of them at each replica, are let through. */
  async function passed() {
    const user = await app.createUser()
    const calls = Array.from({ length: 60 }, (_, n) => app.as(user, replicas()[n % 2]!).get('/api/user/profile'))
    const answers = await Promise.all(calls)
    for (const refused of answers.filter(({ status }) => status !== 200)) expectRefusal(refused, 429, 'rate_limited')
    return answers.filter(({ status }) => status === 200).length
  }
  async function sends() {
    const user = await app.createUser()
    const phone = await app.connectedNumber(user)
    const answers = await Promise.all(
      replicas().map((server, n) =>
        app
          .as(user, server)
          .post('/api/messages/send-text', { token: phone.token, number: '628000000003', text: `Hi ${n}` }),
      ),
    )
    return answers.map(({ status }) => status)
  }

  it('work without it from the start, each counting for itself', async () => {
    await redisIs('unavailable')
    expect((await fetch(`${app.url}/readyz`)).status).toBe(200)
    expect(await sends()).toEqual([200, 200])
    expect(await passed()).toBe(60) // 30 at each, below the limit of each
  })

  it('count together once it is there', async () => {
    await come()
    expect(await passed()).toBe(40)
  })

  it('hear of a rotated key from each other at once', async () => {
    const user = await app.createUser()
    const there = app.as(user, replica)
    expect((await there.get('/api/user/profile')).status).toBe(200)
    await user.post('/api/user/api-key/rotate')
    await eventually(async () => (await there.get('/api/user/profile')).status === 401, 2_000)
  })

  it('answer a caller who waits at one for what the other sends', async () => {
    expect(await sends()).toEqual([200, 200])
  })

  it('leave alone what somebody else says on their channel', async () => {
    for (const text of ['', 'null', '{"from":"x","name":"error","hint":1}', '{"name":"webhook.changed","hint":null}'])
      await redis!.publish('wsa:hints', text)
    const user = await app.createUser()
    await user.post('/api/user/api-key/rotate')
    await eventually(async () => (await app.as(user, replica).get('/api/user/profile')).status === 401)
  })

  it('lose no send when it is killed, and count together again when it is back', async () => {
    await goAway()
    expect(await sends()).toEqual([200, 200])
    expect(await passed()).toBe(60)
    await come()
    expect(await passed()).toBe(40)
  })

  it('forget only a rate window when it is flushed', async () => {
    await redis!.flush()
    expect(await sends()).toEqual([200, 200])
    expect(await passed()).toBe(40) // its scripts were flushed too
  })
})
