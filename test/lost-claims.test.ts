import { OwnPostgres } from './support/own-postgres.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { createWebhook, incomingText, seedNumber, stopClock, tell } from './support/webhook-stage.js'

let postgres: OwnPostgres
let app: TestApp
let sink: WebhookSink
beforeAll(async () => {
  // What a claim writes gets to the disk with the next commit that waits for it. Here none does, whatever else goes on.
  postgres = await OwnPostgres.start({ synchronous_commit: 'off', wal_writer_delay: '10000ms' })
  app = await startTestApp({ database: postgres.database, env: { ROLE: 'api' }, servers: 1 })
  sink = await WebhookSink.start()
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
  await postgres.remove()
})

it('a claim that PostgreSQL forgot by dying is made again: the event comes twice, and one outcome counts', async () => {
  const user = await app.createUser()
  const phone = await seedNumber(app, user)
  const webhook = await createWebhook(user, { url: sink.url, event_types: ['*'] })
  const clock = stopClock(app)
  const other = await app.startReplica({ ROLE: 'api' })
  other.context.clock.now = () => clock.now
  const claim = ({ deliveries }: typeof app.ctx) => {
    const limits = { total: 10, webhooks: 10, per_webhook: 10, bytes: 1_000_000 }
    return deliveries.claim(limits, { webhooks: [], users: [] }, () => [])
  }
  const holder = async () =>
    (await app.db.query<{ holder: string | null }>('select holder from webhook_queues')).rows[0]!.holder
  expect(await tell(app.url, phone.engine_name, incomingText(phone.engine_name, 'Still here'))).toBe(200)
  await app.db.query('checkpoint')

  const [forgotten] = (await claim(app.ctx)).due
  expect(await holder()).not.toBeNull()
  postgres.crash('SIGQUIT')
  await eventually(async () => (await holder().catch(() => 'unreachable')) === null)

  const [again] = (await claim(other.context)).due
  expect([again!.id, again!.version]).toEqual([forgotten!.id, forgotten!.version])
  const late = await app.ctx.deliveries.attempt(forgotten!)
  const counting = await other.context.deliveries.attempt(again!)
  await app.ctx.deliveries.record(late)
  await other.context.deliveries.record(counting)

  const { deliveries } = (await user.get(`/api/webhooks/${webhook.id}/deliveries`)).body
  expect(deliveries).toMatchObject([{ status: 'delivered', attempt_count: 1 }])
  const { attempts } = (await user.get(`/api/deliveries/${deliveries[0].id}`)).body.delivery
  expect(attempts).toHaveLength(2)
  expect(sink.received.map(({ headers }) => headers['webhook-id'])).toEqual([again!.event_id, again!.event_id])
})
