import { Webhook } from 'standardwebhooks'
import type { Response } from 'supertest'
import type { InHand } from '../src/db/deliveries.js'
import { PAUSES_MS } from '../src/webhooks/retry-schedule.js'
import { differences } from './support/open-deliveries.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, createWebhook, happens, seedNumber, stopClock } from './support/webhook-stage.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: Seeded
let webhook: { id: number; secret: string }
let clock: ReturnType<typeof stopClock>

// Nobody works here without being asked: each attempt is driven.
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
})
afterAll(async () => {
  expect(await differences(app.db)).toEqual([])
  await app.stop()
})
beforeEach(async () => {
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await seedNumber(app, user)
  webhook = await createWebhook(user, { url: sink.url, event_types: ['*'] })
  clock = stopClock(app)
})
afterEach(() => sink.stop())

const happen = (text: string, number = phone) => happens(app, number, text)
const work = () => app.crew.delivery.runAll()
const texts = () =>
  sink.ofType('message.received').map(({ body }) => (body.data.message as { content: { text: string } }).content.text)
const deliveries = async (query = '') =>
  (await user.get(`/api/webhooks/${webhook.id}/deliveries${query}`)).body.deliveries as {
    id: number
    status: string
    attempt_count: number
    next_attempt_at: string | null
  }[]
const shown = async () => (await user.get(`/api/webhooks/${webhook.id}`)).body.webhook
async function startWorker() {
  const worker = await app.startReplica({ ROLE: 'worker' })
  worker.context.clock.now = () => clock.now
  return worker
}
const claim = ({ deliveries }: typeof app.ctx, inHand = (): InHand[] => [], bytes = 1_000_000) =>
  deliveries.claim({ total: 10, webhooks: 10, per_webhook: 10, bytes }, { webhooks: [], users: [] }, inHand)
/** Its worker looks again only should what it has in hand be lost. */
const allTaken = async () => {
  const later = `select 1 from webhook_queues where webhook_id = $1 and due_at > $2`
  return (await app.db.query(later, [webhook.id, clock.now])).rowCount === 1
}
const events = async (type: string) => (await user.get(`/api/events?types=${type}`)).body.events as unknown[]

describe('the schedule, on a moved clock', () => {
  it('tries twelve times with the pauses of the documentation, never early, then gives up', async () => {
    sink.replyAlways(500)
    await happen('nobody listens')
    for (let attempt = 1; attempt <= PAUSES_MS.length; attempt++) {
      await work()
      expect(sink.received).toHaveLength(attempt)
      const [delivery] = await deliveries()
      expect(delivery!.attempt_count).toBe(attempt)
      if (attempt === PAUSES_MS.length) break
      const due = Date.parse(delivery!.next_attempt_at!)
      const ratio = (due - clock.now.getTime()) / PAUSES_MS[attempt]!
      expect(ratio).toBeGreaterThanOrEqual(0.8)
      expect(ratio).toBeLessThanOrEqual(1.2)
      clock.to(due - 1)
      await work()
      expect(sink.received).toHaveLength(attempt)
      clock.to(due)
    }
    expect(await deliveries()).toMatchObject([{ status: 'failed', attempt_count: 12, next_attempt_at: null }])
    expect(new Set(sink.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    const verifier = new Webhook(webhook.secret)
    const { text, headers } = sink.received[0]!
    expect(() => verifier.verify(text, headers as never)).not.toThrow()
  })

  it('waits as long as Retry-After says, and lets the other deliveries of that receiver wait too', async () => {
    sink.replyWith({ status: 429, headers: { 'retry-after': '120' } })
    await happen('too fast')
    await work()
    await happen('the next')
    clock.by(119_000)
    await work()
    expect(texts()).toEqual(['too fast'])
    clock.by(2_000)
    await work()
    expect(texts().sort()).toEqual(['the next', 'too fast', 'too fast'])
  })
})

describe('a receiver that is gone', () => {
  it('by 410 is disabled at once, and its owner told through the feed and the other webhooks', async () => {
    const other = await WebhookSink.start()
    await createWebhook(user, { url: other.url, event_types: ['webhook.disabled'] })
    sink.replyAlways(410)
    await happen('one')
    await happen('two')
    await work()
    expect(await shown()).toMatchObject({ enabled: false, disabled_reason: 'gone', health: 'disabled' })
    await work()
    const notice = {
      type: 'webhook.disabled',
      phone_number: null,
      data: { reason: 'gone', webhook: { id: webhook.id } },
    }
    expect(await events('webhook.disabled')).toMatchObject([notice])
    expect(other.ofType('webhook.disabled')).toHaveLength(1)
    await other.stop()
  })

  it('for five days is disabled; what it is owed is held and goes on when it is enabled', async () => {
    sink.replyAlways(500)
    const begin = clock.now.getTime()
    await happen('lost?')
    await work()
    clock.to(begin + 5 * DAY - 1)
    await happen('still trying')
    await work()
    expect((await shown()).enabled).toBe(true)
    // A quiet receiver that dislikes one event may have a bad moment at the next: that alone is no reason.
    for (let day = 5; day < 8; day++) {
      expect((await shown()).enabled).toBe(true)
      clock.to(begin + day * DAY + HOUR)
      await work()
    }
    expect(await shown()).toMatchObject({ enabled: false, disabled_reason: 'failing' })

    const before = sink.received.length
    clock.by(DAY)
    await work()
    expect(sink.received).toHaveLength(before)
    expect(new Set((await deliveries('?status=pending')).map(({ next_attempt_at }) => next_attempt_at))).toEqual(
      new Set([null]),
    )
    await happen('while disabled')
    sink.replyAlways(200)
    sink.received.length = 0
    expect((await user.patch(`/api/webhooks/${webhook.id}`, { enabled: true })).body.webhook.health).toBe('healthy')
    clock.by(DAY)
    await work()
    expect(texts().sort()).toEqual(['lost?', 'still trying'])

    // What happened meanwhile was never owed; it can be asked for.
    const missing = await user.post(`/api/webhooks/${webhook.id}/redeliver`, {
      status: 'missing',
      from: '2026-01-01',
    })
    expect(missing.body).toMatchObject({ more: false })
    await work()
    expect(texts()).toContain('while disabled')
  })
})

describe('the breaker', () => {
  it('opens after ten different deliveries, spends no attempt while open, tries one, and releases the backlog', async () => {
    sink.replyAlways(500)
    for (let n = 1; n <= 10; n++) await happen(`event ${n}`)
    await work()
    expect(sink.received).toHaveLength(10)
    expect((await shown()).health).toBe('paused')
    for (let n = 11; n <= 15; n++) await happen(`event ${n}`)
    clock.by(29_000)
    await work()
    expect(sink.received).toHaveLength(10)
    expect((await deliveries()).filter(({ attempt_count }) => attempt_count === 0)).toHaveLength(5)

    clock.by(2_000)
    await work()
    expect(sink.received).toHaveLength(11)
    clock.by(59_000)
    await work()
    expect(sink.received).toHaveLength(11)
    sink.replyAlways(200)
    clock.by(2_000)
    await work()
    clock.by(10 * MINUTE)
    await work()
    expect((await deliveries()).map(({ status }) => status)).toEqual(Array(15).fill('delivered'))
    expect((await shown()).health).toBe('healthy')
  })

  it('stays closed when one event displeases its receiver: later ones go on', async () => {
    sink.replyWith(500)
    await happen('poison')
    await work()
    for (let n = 1; n <= 6; n++) {
      await happen(`fine ${n}`)
      await work()
    }
    clock.by(6_000)
    sink.replyWith(500)
    await work()
    await happen('fine 7')
    await work()
    expect(texts().filter((text) => text.startsWith('fine'))).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `fine ${n}`))
    expect((await shown()).health).toBe('healthy')
  })
})

describe('order and fences', () => {
  it('delivers in order per number while the receiver is well', async () => {
    const second = await seedNumber(app, user)
    for (let n = 0; n < 60; n++) await happen(`${n}`, n % 2 ? second : phone)
    await work()
    const of = (number: Seeded) =>
      sink.received
        .filter(({ body }) => (body.phone_number as { id: number }).id === number.id)
        .map(({ body }) => body.position)
    for (const number of [phone, second])
      expect(of(number)).toEqual(
        of(number)
          .slice()
          .sort((a, b) => a - b),
      )
    expect(sink.received).toHaveLength(60)
  })

  it('refuses the late outcome of a worker that was stopped past its lease (promise 6)', async () => {
    const replica = await app.startReplica({ ROLE: 'api' })
    replica.context.clock.now = () => clock.now
    await happen('told twice, settled once')
    const [claimed] = (await claim(app.ctx)).due
    const stopped = await app.ctx.deliveries.attempt(claimed!)
    // The other one finds nothing while the lease holds, and takes over when it has lapsed.
    expect((await claim(replica.context)).due).toEqual([])
    clock.by(46_000)
    sink.replyWith(500)
    await replica.crew.delivery.runAll()
    expect(await deliveries()).toMatchObject([{ status: 'pending', attempt_count: 1 }])
    await app.ctx.deliveries.record(stopped)
    expect(await deliveries()).toMatchObject([{ status: 'pending', attempt_count: 1 }])
    clock.by(2 * MINUTE)
    await replica.crew.delivery.runAll()
    const [delivery] = await deliveries()
    expect(delivery).toMatchObject({ status: 'delivered', attempt_count: 2 })
    const { attempts } = (await user.get(`/api/deliveries/${delivery!.id}`)).body.delivery
    expect(attempts.map((one: { attempt: number; status_code: number }) => [one.attempt, one.status_code])).toEqual([
      [1, 500],
      [1, 200],
      [2, 200],
    ])
    await replica.close()
  })

  it('refuses it too while the one that took over is still trying', async () => {
    const replica = await app.startReplica({ ROLE: 'api' })
    replica.context.clock.now = () => clock.now
    await happen('tried by two')
    const [stopped] = (await claim(app.ctx)).due
    const late = await app.ctx.deliveries.attempt(stopped!)
    clock.by(46_000)
    const [taken] = (await claim(replica.context)).due
    await app.ctx.deliveries.record(late)
    expect(await deliveries()).toMatchObject([{ status: 'pending', attempt_count: 0 }])
    await replica.context.deliveries.record(await replica.context.deliveries.attempt(taken!))
    expect(await deliveries()).toMatchObject([{ status: 'delivered', attempt_count: 1 }])
    await replica.close()
  })

  it('takes nothing twice: neither what is in hand when more comes, nor what waits behind it', async () => {
    const worker = await startWorker()
    sink.replyWith('hang')
    await happen('0')
    await eventually(() => Promise.resolve(sink.received.length === 1))
    for (let n = 1; n < 10; n++) await happen(`${n}`)
    await eventually(allTaken)
    sink.letGo(200)
    await eventually(async () => (await deliveries('?status=delivered&limit=100')).length === 10)
    expect(texts()).toEqual(Array.from({ length: 10 }, (_, n) => `${n}`))
    await worker.close()
  })

  it('looks again for what leaves the hand unwritten while more is claimed', async () => {
    await happen('its outcome could not be written')
    const inHand: InHand[] = (await claim(app.ctx)).due
    await app.db.query('update webhook_queues set due_at = $2 where webhook_id = $1', [webhook.id, clock.now])
    const more = await claim(app.ctx, () => {
      queueMicrotask(() => inHand.splice(0))
      return inHand
    })
    expect([more.due, inHand]).toEqual([[], []])
    expect(await allTaken()).toBe(true)
    clock.by(46_000)
    await work()
    expect(texts()).toEqual(['its outcome could not be written'])
  })

  it('takes of large events only what a claim may hold, one at least, and leaves the rest due', async () => {
    for (const text of ['first', 'second', 'third']) await happen(text + 'x'.repeat(100_000))
    const { due, more } = await claim(app.ctx, undefined, 150_000)
    expect([due.length, more]).toEqual([2, true])
    const rest = await claim(app.ctx, () => due, 1)
    expect([rest.due.length, rest.more]).toEqual([1, true])
    const all = [...due, ...rest.due]
    expect(await claim(app.ctx, () => all)).toMatchObject({ due: [], more: false })
    for (const one of all) await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(one))
    expect(texts().map((text) => text.replaceAll('x', ''))).toEqual(['first', 'second', 'third'])
  })

  it('takes what other users wait for before more of a large backlog', async () => {
    for (const text of ['first', 'second']) await happen(text + 'x'.repeat(100_000))
    const neighbour = await app.createUser()
    const theirs = await createWebhook(neighbour, { url: sink.url, event_types: ['*'] })
    await happen('small', await seedNumber(app, neighbour))
    const { due } = await claim(app.ctx, undefined, 50_000)
    expect(due.map(({ target }) => target.webhook_id)).toEqual([webhook.id])
    const next = await claim(app.ctx, () => due, 50_000)
    expect(next.due.map(({ target }) => target.webhook_id)).toEqual([theirs.id, webhook.id])
    for (const one of [...due, ...next.due]) await app.ctx.deliveries.record(await app.ctx.deliveries.attempt(one))
    expect(await deliveries('?status=delivered')).toHaveLength(2)
  })

  it('delivers again what is asked for while it is being tried, and only the second outcome counts', async () => {
    const worker = await startWorker()
    sink.replyWith('hang', 500)
    await happen('once more')
    await eventually(() => Promise.resolve(sink.received.length === 1))
    const [delivery] = await deliveries()
    expect((await user.post(`/api/deliveries/${delivery!.id}/redeliver`)).status).toBe(202)
    await eventually(allTaken)
    sink.letGo(200)
    await eventually(async () => (await deliveries())[0]!.attempt_count === 1)
    expect(await deliveries()).toMatchObject([{ status: 'pending', attempt_count: 1 }])
    expect(texts()).toEqual(['once more', 'once more'])
    await worker.close()
  })

  it('keeps both attempts when both outcomes of one that was asked for again are written together', async () => {
    const { deliveries: service } = app.ctx
    await happen('before')
    await happen('once more')
    const [before, first] = (await claim(app.ctx)).due
    const [delivery] = await deliveries()
    expect((await user.post(`/api/deliveries/${delivery!.id}/redeliver`)).status).toBe(202)
    const [second] = (await claim(app.ctx, () => [before!, first!])).due
    expect([second!.id, second!.version]).toEqual([first!.id, first!.version + 1])
    const finished = [await service.attempt(before!)]
    sink.replyWith(500, 200)
    for (const one of [first!, second!]) finished.push(await service.attempt(one))
    // The first is written at once, and what comes meanwhile after it.
    await Promise.all(finished.map((one) => service.record(one)))
    const shown = (await user.get(`/api/deliveries/${delivery!.id}`)).body.delivery
    expect(shown).toMatchObject({ status: 'delivered', attempt_count: 1 })
    expect(shown.attempts.map((one: { status_code: number }) => one.status_code).sort()).toEqual([200, 500])
  })

  it('a worker that stops gives back what it has not begun, and spends no attempt', async () => {
    const replica = await app.startReplica({ ROLE: 'api' })
    replica.context.clock.now = () => clock.now
    sink.replyAlways('hang')
    for (let n = 0; n < 5; n++) await happen(`${n}`)
    const running = replica.crew.delivery.runAll()
    while (sink.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await replica.close()
    await running
    expect((await deliveries()).map(({ attempt_count }) => attempt_count)).toEqual([0, 0, 0, 0, 0])
    sink.replyAlways(200)
    sink.received.length = 0
    await work()
    expect(texts()).toEqual(['0', '1', '2', '3', '4'])
  })
})

describe('self-service', () => {
  it('shows each attempt and the exact body, and delivers again with the same webhook-id', async () => {
    sink.replyWith({ status: 500, body: 'boom' })
    await happen('look at me')
    await work()
    clock.by(10_000)
    await work()
    const id = (await deliveries('?status=delivered'))[0]!.id
    const { delivery } = (await user.get(`/api/deliveries/${id}`)).body
    expect(delivery).toMatchObject({
      status: 'delivered',
      attempt_count: 2,
      url: sink.url,
      event_type: 'message.received',
    })
    expect(delivery.body).toBe(sink.received[0]!.text)
    expect(delivery.attempts).toMatchObject([
      { attempt: 1, status_code: 500, error: 'http_500', response_body: 'boom' },
      { attempt: 2, status_code: 200, error: null },
    ])
    const again = await user.post(`/api/deliveries/${id}/redeliver`)
    expect([again.status, again.body.delivery.status]).toEqual([202, 'pending'])
    await work()
    expect(sink.received).toHaveLength(3)
    expect(new Set(sink.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(await deliveries()).toMatchObject([{ status: 'delivered', attempt_count: 3 }])
  })

  it('delivers a range again, by status and type, with a fresh schedule', async () => {
    sink.replyAlways(500)
    for (let n = 0; n < 3; n++) await happen(`${n}`)
    await work()
    await app.db.query(
      `update deliveries set status = 'failed', attempts = 12, attempts_from = 0 where webhook_id = $1`,
      [webhook.id],
    )
    sink.replyAlways(200)
    sink.received.length = 0
    const none = await user.post(`/api/webhooks/${webhook.id}/redeliver`, { event_types: ['gap'] })
    expect(none.body.redelivered).toBe(0)
    const all = await user.post(`/api/webhooks/${webhook.id}/redeliver`, { status: 'failed' })
    expect([all.status, all.body.redelivered, all.body.more]).toEqual([202, 3, false])
    clock.by(MINUTE)
    await work()
    expect(texts()).toHaveLength(3)
    expect((await deliveries('?status=delivered')).map(({ attempt_count }) => attempt_count)).toEqual([13, 13, 13])
  })

  it('brings forward what waits for its next attempt, and nothing twice', async () => {
    sink.replyWith(500, 500)
    await happen('a')
    await happen('b')
    await work()
    const again = async () =>
      (await user.post(`/api/webhooks/${webhook.id}/redeliver`, { status: 'pending' })).body.redelivered as number
    expect(await again()).toBe(2)
    expect(await again()).toBe(0)
    await work()
    expect(texts()).toHaveLength(4)
  })

  it.each([
    ['a range upside down', { from: '2026-02-01T00:00:00Z', to: '2026-01-01T00:00:00Z' }],
    ['no event type', { event_types: [] }],
    ['an event type that is empty', { event_types: '' }],
    ['a range that begins tomorrow', { from: new Date(Date.now() + 2 * DAY).toISOString() }],
    ['a time that is none', { from: 'yesterday' }],
    ['a status that is none', { status: 'lost' }],
    ['an unknown event type', { event_types: ['no.such'] }],
  ])('refuses %s', async (_what, body) => {
    const answer = await user.post(`/api/webhooks/${webhook.id}/redeliver`, body)
    expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request'])
  })

  it.each([
    'from=2026-02-01&to=2026-01-01',
    'from=x',
    'status=lost',
    'event_type=no.such',
    'event_types=no.such',
    'cursor=nonsense',
    'limit=0',
    `cursor=${Buffer.from('feed:1:1').toString('base64url')}`,
  ])('refuses a list with %s', async (query) => {
    const answer = await user.get(`/api/webhooks/${webhook.id}/deliveries?${query}`)
    expect([answer.status, answer.body.error.code]).toEqual([400, 'invalid_request'])
  })

  it('pages through deliveries without losing or repeating one', async () => {
    for (let n = 0; n < 25; n++) await happen(`${n}`)
    const seen: number[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page: Response = await user.get(
        `/api/webhooks/${webhook.id}/deliveries?limit=10${cursor && `&cursor=${cursor}`}`,
      )
      seen.push(...page.body.deliveries.map((one: { id: number }) => one.id))
      cursor = page.body.next_cursor
    }
    expect(seen).toHaveLength(25)
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => b - a))
  })

  it.each([
    ['?status=lost'],
    ['?event_type=no.such'],
    ['?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z'],
    ['?from=yesterday'],
    ['?cursor=bm8'],
    ['?limit=0'],
  ])('refuses a list with %s', async (query) => {
    const answer = await user.get(`/api/webhooks/${webhook.id}/deliveries${query}`)
    expect([answer.status, answer.body.error?.code]).toEqual([400, 'invalid_request'])
  })

  it("does not show or repeat another user's delivery", async () => {
    await happen('private')
    const id = (await deliveries())[0]!.id
    const stranger = await app.createUser()
    expect((await stranger.get(`/api/deliveries/${id}`)).status).toBe(404)
    expect((await stranger.post(`/api/deliveries/${id}/redeliver`)).status).toBe(404)
    expect((await user.get('/api/deliveries/99999999')).status).toBe(404)
  })
})
