import { QUIET, newSender } from './support/sending.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
// Nobody works here without being asked.
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, sandbox: { slow_ms: 1_500, hang_seconds: 2 } })
})
afterAll(() => app.stop())

it('what comes to a lane that is open again stands behind what waits in it already', async () => {
  const { user, phone, queue, becomes, sentTexts } = await newSender(app)
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const first = await queue(QUIET, 'first')
  await user.post(`/api/phone-numbers/${phone.id}/queue/resume`)
  const second = await queue(QUIET, 'second')
  await app.ctx.lanes.runDue()
  await becomes(first, 'sent')
  await becomes(second, 'sent')
  expect(sentTexts()).toEqual(['first', 'second'])
})

it('a message that comes too late for its number costs nothing', async () => {
  const { text, lane, used } = await newSender(app)
  await lane('closed = true, due_at = null')
  expectRefusal(await text(QUIET, 'too late'), 404, 'not_found')
  expect(await used()).toBe(0)
})

it('a key that has expired is not rotated', async () => {
  const user = await app.createUser()
  const made = await user.post('/api/api-keys', {
    name: 'old',
    expires_at: new Date(Date.now() + 60_000).toISOString(),
  })
  const { id } = made.body.api_key
  await app.db.query(`update api_keys set expires_at = now() - interval '1 minute' where id = $1`, [id])
  expectRefusal(await user.post(`/api/api-keys/${id}/rotate`), 409, 'conflict')
})
