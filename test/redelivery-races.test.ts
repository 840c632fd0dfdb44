import type { Response } from 'supertest'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { createWebhook, incomingText, seedNumber, tell } from './support/webhook-stage.js'

// Nobody works here without being asked.
let app: TestApp
let sink: WebhookSink
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api', EVENT_DAYS: '30' }, servers: 1 })
  sink = await WebhookSink.start()
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

const pruneOld = () => app.crew.pruner.runOnce(new Date(Date.now() + 31 * 86_400_000))
const waiting = (n: number) => eventually(async () => (await app.lockWaiters()) >= n)

async function delivered() {
  const user = await app.createUser()
  const phone = await seedNumber(app, user)
  const { id: webhook } = await createWebhook(user, { url: sink.url })
  await tell(app.url, phone.engine_name, incomingText(phone.engine_name, 'old'))
  await app.crew.delivery.runAll()
  const [{ id }] = (await user.get(`/api/webhooks/${webhook}/deliveries`)).body.deliveries as [{ id: number }]
  sink.received.length = 0
  return { user, phone, webhook, id }
}

type Stage = Awaited<ReturnType<typeof delivered>>
/** For the webhook that there was, or for one that is made only now and was owed nothing. */
const calls: [string, (stage: Stage) => Promise<{ webhook: number; call: () => Promise<Response> }>][] = [
  [
    'one delivery',
    ({ user, id, webhook }) =>
      Promise.resolve({ webhook, call: async () => user.post(`/api/deliveries/${id}/redeliver`) }),
  ],
  [
    'a range',
    ({ user, webhook }) =>
      Promise.resolve({
        webhook,
        call: async () => user.post(`/api/webhooks/${webhook}/redeliver`, { status: 'delivered' }),
      }),
  ],
  [
    'what is missing',
    async ({ user }) => {
      const { id } = await createWebhook(user, { url: sink.url })
      return { webhook: id, call: async () => user.post(`/api/webhooks/${id}/redeliver`, { status: 'missing' }) }
    },
  ],
]

describe.each(calls)('%s that is asked for again', (_title, prepare) => {
  it('as its event is about to be pruned, is delivered', async () => {
    const { webhook, call } = await prepare(await delivered())
    const [answer, pruned] = await app.db
      .transaction(async (tx) => {
        await tx.query('select 1 from webhook_queues where webhook_id = $1 for update', [webhook])
        const asked = call()
        await waiting(1)
        const pruning = pruneOld()
        // Leaves what is asked for, or waits for it.
        await Promise.race([pruning, waiting(2)])
        return [asked, pruning] as const
      })
      .then(([asked, pruning]) => Promise.all([asked, pruning]))
    expect([answer.status, answer.body.redelivered ?? 1, pruned]).toEqual([202, 1, undefined])
    await app.crew.delivery.runAll()
    expect(sink.received).toHaveLength(1)
  })

  it('as its event is being pruned, is not there any more', async () => {
    const { call } = await prepare(await delivered())
    const other = await delivered()
    const [answer] = await app.db
      .transaction(async (tx) => {
        await tx.query('select 1 from deliveries where id = $1 for update', [other.id])
        const pruning = pruneOld()
        await waiting(1)
        const asked = call()
        await waiting(2)
        return [asked, pruning] as const
      })
      .then((both) => Promise.all(both))
    const expected = answer.body.redelivered === undefined ? [404, 'not_found'] : [202, 0]
    expect([answer.status, answer.body.redelivered ?? answer.body.error.code]).toEqual(expected)
    await app.crew.delivery.runAll()
    expect(sink.received).toEqual([])
  })
})

it('webhooks are changed and deleted while their number is, and nobody gets in the way of the other', async () => {
  const user = await app.createUser()
  const seen = new Set<string>()
  const saw = async (what: string, call: PromiseLike<Response>) => seen.add(`${what} ${(await call).status}`)
  for (let round = 0; round < 15; round++) {
    const { id, engine_name } = await seedNumber(app, user)
    const make = () => createWebhook(user, { url: sink.url, phone_number_id: id })
    const hooks = await Promise.all(Array.from({ length: 6 }, make))
    const change = (hook: { id: number }) => user.patch(`/api/webhooks/${hook.id}`, { description: `round ${round}` })
    await Promise.all([
      ...[...hooks, ...hooks].map((hook) => saw('change', change(hook))),
      ...hooks.slice(0, 2).map((hook) => saw('delete', user.delete(`/api/webhooks/${hook.id}`))),
      saw('number', user.delete(`/api/phone-numbers/${id}`)),
      tell(app.url, engine_name, incomingText(engine_name, 'meanwhile')),
    ])
  }
  expect([...seen].filter((one) => !/^(change|delete) (200|404)$|^number 200$/.test(one))).toEqual([])
})

it('a kind of rows that cannot be pruned leaves the others no fuller', async () => {
  const user: TestUser = await app.createUser()
  const old = () => app.db.query(`select 1 from events where user_id = $1`, [user.id])
  const { engine_name } = await seedNumber(app, user)
  await tell(app.url, engine_name, incomingText(engine_name, 'old'))
  expect((await old()).rowCount).toBe(1)
  await app.db.query('alter table early_receipts rename to early_receipts_away')
  await expect(pruneOld()).rejects.toThrow('1 kinds could not be pruned')
  await app.db.query('alter table early_receipts_away rename to early_receipts')
  expect((await old()).rowCount).toBe(0)
})
