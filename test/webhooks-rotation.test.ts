import { QUIET, newSender } from './support/sending.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { createWebhook } from './support/webhook-stage.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

const waiting = async () => {
  const { rowCount } = await app.db.query(
    `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
  )
  return rowCount!
}

it('two rotations at once lose no secret: what is posted is signed with all three', async () => {
  const sink = await WebhookSink.start()
  const user = await app.createUser()
  const { id } = await createWebhook(user, { url: sink.url })
  let rotations: Promise<number>[] = []
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from webhooks where id = $1 for update', [id])
    rotations = [1, 2].map(() => user.post(`/api/webhooks/${id}/rotate-secret`).then(({ status }) => status))
    await eventually(async () => (await waiting()) === 2)
  })
  expect(await Promise.all(rotations)).toEqual([200, 200])
  await user.post(`/api/webhooks/${id}/test`, {})
  await sink.stop()
  expect(String(sink.received[0]!.headers['webhook-signature']).split(' ')).toHaveLength(3)
})

it('a bulk for a number that is deleted is refused as a whole', async () => {
  const { user, phone } = await newSender(app)
  await user.delete(`/api/phone-numbers/${phone.id}`)
  const bulk = { token: phone.token, messages: [{ number: QUIET, text: 'to nobody' }] }
  expectRefusal(await user.post('/api/messages/bulk', bulk), 404, 'not_found')
})
