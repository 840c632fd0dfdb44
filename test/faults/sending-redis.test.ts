import { freePorts } from '../../src/embedded/free-ports.js'
import { hasRedis, startRedis } from '../support/redis.js'
import { QUIET, newSender } from '../support/sending.js'
import { type TestApp, eventually, startTestApp } from '../support/test-app.js'
import { SHORT } from '../support/webhook-faults.js'

const withRedis = hasRedis ? describe : describe.skip

withRedis('Redis that is down at start, comes, is flushed, killed, and comes back', () => {
  const LIMIT = 300
  let app: TestApp
  let port: number
  beforeAll(async () => {
    port = await freePorts(1)
    app = await startTestApp({
      env: { REDIS_URL: `redis://127.0.0.1:${port}`, RATE_LIMIT_PER_MINUTE: String(LIMIT) },
    })
  })
  afterAll(() => app.stop())

  it('costs no send and no quota, and rate limits work again', async () => {
    const { user, phone, sentTexts, used } = await newSender(app)
    const replica = await app.startReplica()
    const urls = [app.url, replica.url]
    const count = SHORT ? 8 : 25
    let sent = 0
    const sendSome = async () => {
      const answers = await Promise.all(
        Array.from({ length: count }, async () => {
          const text = `send ${sent++}`
          const headers = { 'content-type': 'application/json', 'x-api-key': user.api_key }
          const body = JSON.stringify({ token: phone.token, number: QUIET, text })
          return (await fetch(`${urls[sent % 2]}/api/messages/send-text`, { method: 'POST', headers, body })).status
        }),
      )
      expect(answers).toEqual(Array(count).fill(200))
    }
    await sendSome() // absent
    let redis = await startRedis(port)
    await sendSome() // has come
    await redis.flush()
    await sendSome()
    const during = sendSome()
    await redis.stop()
    await during
    await sendSome() // gone
    redis = await startRedis(port)
    await sendSome() // back
    expect(new Set(sentTexts()).size).toBe(sent)
    expect([sentTexts().length, await used()]).toEqual([sent, sent])
    await expectOneLimitForBoth(urls)
    await redis.stop()
  })

  /** With Redis two replicas count together: what both let through is the limit, and not twice of it. */
  async function expectOneLimitForBoth(urls: string[]) {
    await eventually(async () => {
      const { api_key } = await app.createUser()
      const ask = async (n: number) =>
        (await fetch(`${urls[n % 2]}/api/user/profile`, { headers: { 'x-api-key': api_key } })).status
      const answers: number[] = []
      for (let n = 0; n < LIMIT + 60; n += 20)
        answers.push(...(await Promise.all(Array.from({ length: 20 }, (_, i) => ask(n + i)))))
      const allowed = answers.filter((status) => status === 200).length
      // A window may end meanwhile, or Redis may be reached again only now.
      if (Math.abs(allowed - LIMIT) > 1) throw new Error(`${allowed} of ${LIMIT} were let through`)
    }, 60_000)
  }
})
