import { QUIET, newSender } from './support/sending.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

it('what is left of today is told beside the end of today, also where another day has more', async () => {
  const { text } = await newSender(app)
  await text(QUIET, 'first')
  const now = await text(QUIET, 'second')
  const send_at = new Date(Date.now() + 3 * 86_400_000).toISOString()
  const then = await text(QUIET, 'then', { send_at })
  expect(then.headers['x-quota-remaining']).toBe(now.headers['x-quota-remaining'])
})

it('a message to a group goes out while new conversations are held back', async () => {
  const { queue, lane, show, becomes } = await newSender(app)
  await lane(`restricted_until = now() + interval '6 hours'`)
  const held = await queue(QUIET, 'a new conversation')
  const group = await queue('120363000000000001@g.us', 'to all of us')
  await becomes(group, 'sent', 'delivered', 'read', 'failed')
  expect((await show(held)).status).toBe('queued')
})
