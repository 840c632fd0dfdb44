import fc from 'fast-check'
import { request } from 'undici'
import type { Ids } from '../support/entries.js'
import { type TestApp, eventually, startTestApp } from '../support/test-app.js'
import { type FuzzRequest, anyRequest } from './requests.js'

/** The short form runs with all tests; `npm run test:fuzz` sends the rest. FUZZ_SEED repeats a run. */
const RUNS = Number(process.env.FUZZ_REQUESTS ?? 1_200)
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)
const AT_ONCE = 8

let app: TestApp
let ids: Ids
let key: string
beforeAll(async () => {
  app = await startTestApp()
  const user = await app.createUser({ plan_type: 'enterprise' })
  key = user.api_key
  const phone = await app.connectedNumber(user, { webhook_url: 'http://127.0.0.1:9/' })
  const sent = await user.post('/api/messages/send-text', { token: phone.token, number: '628000000001', text: 'Hi' })
  const first = async (from: string) => (await app.db.query(`select ${from} limit 1`)).rows[0]?.id as number
  await eventually(async () => expect(await first('id from deliveries')).toBeDefined())
  ids = {
    phone_number: phone.id,
    token: phone.token,
    message: sent.body.message.id,
    webhook: await first('id from webhooks'),
    delivery: await first('id from deliveries'),
    event: await first('public_id as id from events'),
    api_key: (await user.post('/api/api-keys', { name: 'To play with' })).body.api_key.id,
  }
})
afterAll(() => app.stop())

it(`whatever is sent, the server has an answer that is no accident (${RUNS} requests, FUZZ_SEED=${SEED})`, async () => {
  const counts = new Map<number, number>()
  const send = async (given: FuzzRequest) => {
    const { method, headers, body } = given
    const answer = await request(`${app.url}${given.path}`, { method: method as 'GET', headers, body })
    counts.set(answer.statusCode, (counts.get(answer.statusCode) ?? 0) + 1)
    const type = String(answer.headers['content-type'] ?? '')
    const isPage = !given.path.startsWith('/api/')
    const problem = problemOf(answer.statusCode, type, await answer.body.text(), isPage)
    if (problem) throw new Error(`${problem}\n${JSON.stringify(given).slice(0, 3_000)}`)
  }
  const batches = fc.array(anyRequest(ids, { user: key }), { minLength: AT_ONCE, maxLength: AT_ONCE })
  const together = (batch: FuzzRequest[]) => Promise.all(batch.map(send))
  const runs = { numRuns: Math.ceil(RUNS / AT_ONCE), seed: SEED, endOnFailure: true }
  const { errorInstance } = await fc.check(
    fc.asyncProperty(batches, async (batch) => void (await together(batch))),
    runs,
  )
  if (errorInstance) throw errorInstance as Error
  if (process.env.FUZZ_REQUESTS) console.log(Object.fromEntries([...counts].sort(([a], [b]) => a - b)))
}, 1_800_000)

/** 503 is an answer on purpose: a server of the pool may be away. */
function problemOf(status: number, type: string, text: string, isPage: boolean): string | undefined {
  if (status >= 500 && status !== 503) return `answered ${status}: ${text}`
  if (/node_modules|\n\s+at |\.[tj]s:\d|syntax error|violates|relation "/.test(text)) return `shows its inside: ${text}`
  if (type.startsWith('text/html') && isPage) return undefined
  if (!type.includes('json')) return status < 400 ? undefined : `answered ${status} as ${type}`
  const body = JSON.parse(text) as { success?: unknown; status?: unknown; error?: Record<string, unknown> }
  if (status < 400)
    return body.success === true || body.status === 'ok' ? undefined : `answered without success: ${text}`
  const { code, message, request_id } = body.error ?? {}
  const shaped = body.success === false && [code, message, request_id].every((part) => typeof part === 'string')
  return shaped ? undefined : `an error of another shape: ${text}`
}
