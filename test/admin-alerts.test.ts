import type { RunningServer } from '../src/server.js'
import { type TestApp, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
beforeEach(async () => {
  sink = await WebhookSink.start()
  app = await startTestApp({ env: { OPERATOR_ALERT_URL: sink.url, BRAND_NAME: 'Toko Maju' } })
  await stopAlerts(app)
})
afterEach(async () => {
  await app.stop()
  await sink.stop()
})

/** Every round is one that a test asks for. */
const stopAlerts = ({ crew }: Pick<RunningServer, 'crew'>) => crew.always.find(({ name }) => name === 'alerts')!.stop()
async function startReplica(env: Record<string, string> = {}): Promise<RunningServer> {
  const replica = await app.startReplica(env)
  await stopAlerts(replica)
  return replica
}

const MINUTE_MS = 60_000
const inMinutes = (minutes: number) => new Date(Date.now() + minutes * MINUTE_MS)
const told = () =>
  sink.received.map(({ body }) => {
    const { key, state } = body.alert as { key: string; state: string }
    return `${state} ${key}`
  })
/** One round each minute of this stretch, as the worker does several times a minute. */
async function rounds(from: number, to: number) {
  for (let minute = from; minute <= to; minute++) await app.ctx.alerts.runOnce(inMinutes(minute))
}

it('tells once that a server is down, again after hours, and when it is over', async () => {
  app.sandboxes[0]!.controls.setTroubles({ refuse: 'close' })
  await app.crew.monitor.checkAll()
  await app.ctx.alerts.runOnce()
  expect(told()).toEqual([]) // it may be a restart
  await rounds(1, 30)
  expect(told()).toEqual(['raised server_unreachable:sandbox-1'])
  expect(sink.received[0]!.body).toMatchObject({
    from: 'Toko Maju',
    alert: {
      message: expect.stringMatching(/sandbox-1 cannot be reached.*Phone numbers on it: 0/),
      since: expect.any(String),
    },
  })
  await rounds(362, 364)
  expect(told().slice(1)).toEqual(['reminder server_unreachable:sandbox-1'])
  app.sandboxes[0]!.controls.clearTroubles()
  await app.crew.monitor.checkAll()
  await rounds(365, 370)
  expect(told().slice(2)).toEqual(['cleared server_unreachable:sandbox-1'])
  expect((await app.db.query('select 1 from alerts')).rowCount).toBe(0)
})

it('keeps quiet about what is over before it was told, and tells flapping once', async () => {
  const { controls } = app.sandboxes[0]!
  controls.setTroubles({ licence_required: true })
  await app.crew.monitor.checkAll()
  await app.ctx.alerts.runOnce()
  controls.clearTroubles()
  await app.crew.monitor.checkAll()
  await rounds(3, 6)
  expect(told()).toEqual([])
  for (let minute = 10; minute < 20; minute++) {
    if (minute % 2) controls.clearTroubles()
    else controls.setTroubles({ licence_required: true })
    await app.crew.monitor.checkAll()
    await app.ctx.alerts.runOnce(inMinutes(minute))
  }
  expect(told()).toEqual(['raised server_licence_needed:sandbox-1'])
})

it('tells that there is no room, and that messages and deliveries wait too long', async () => {
  await app.db.query('update servers set capacity = 1')
  const user = await app.createUser()
  for (let n = 0; n < 2; n++)
    await user.post('/api/phone-numbers/create', { display_name: 'Shop', webhook_url: sink.url })
  await Promise.all(app.crew.workers.map((worker) => worker.stop()))
  await app.crew.delivery.stop()
  await app.db.query(`update lanes set due_at = now() - interval '20 minutes'`)
  await app.db.query(`update webhook_queues set due_at = now() - interval '20 minutes'`)
  await rounds(0, 2)
  expect(told().sort()).toEqual(['raised delivery_age', 'raised no_capacity', 'raised queue_age'])
})

it('tells that an engine said what nobody understands', async () => {
  const event = { event: 'of.tomorrow', data: {} }
  expect((await app.engineSays('user_1_unknown_g1', event)).status).toBe(200)
  await rounds(0, 2)
  expect(told()).toEqual(['raised unprocessed_events'])
  expect(sink.received.at(-1)!.body.alert).toMatchObject({
    message: expect.stringContaining('1 times; the latest: the event "of.tomorrow" is not known.'),
  })
})

it('is told by one of two processes, and again when it was not taken', async () => {
  const replica = await startReplica()
  app.sandboxes[0]!.controls.setTroubles({ wrong_key: true })
  await app.crew.monitor.checkAll()
  sink.replyWith(500)
  for (let minute = 0; minute < 4; minute++)
    await Promise.all([app, { ctx: replica.context }].map(({ ctx }) => ctx.alerts.runOnce(inMinutes(minute))))
  expect(told()).toEqual(Array(2).fill('raised server_key_refused:sandbox-1'))
})

it('speaks to a Telegram bot in its way', async () => {
  const url = `${new URL(sink.url).origin}/bot123:secret/sendMessage?chat_id=-42`
  const replica = await startReplica({ OPERATOR_ALERT_URL: url })
  app.sandboxes[0]!.controls.setTroubles({ wrong_key: true })
  await app.crew.monitor.checkAll()
  for (let minute = 0; minute < 2; minute++) await replica.context.alerts.runOnce(inMinutes(minute))
  expect(sink.received.map(({ path }) => path)).toEqual(['/bot123:secret/sendMessage'])
  expect(sink.received[0]!.body).toEqual({
    chat_id: '-42',
    text: expect.stringContaining('Toko Maju: The Evolution server sandbox-1 refuses our key'),
  })
})
