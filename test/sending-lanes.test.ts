import { startSandbox, SandboxDatabase } from '../src/sandbox/server.js'
import { QUIET, type Sender, newSender } from './support/sending.js'
import { ENGINE_KEY, type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 60 } })
})
afterAll(() => app.stop())

const SLOW = '628000000012'
const later = (seconds: number) => new Date(Date.now() + seconds * 1000)
const path = (id: number, call = '') => `/api/phone-numbers/${id}/queue${call}`

/** The calls to the engine, with nothing of them at the same time. */
function expectOneAtATime(calls: ReturnType<Sender['engineCalls']>, gapMs = 0) {
  const inOrder = [...calls].sort((a, b) => a.began - b.began)
  const gaps = inOrder.slice(1).map(({ began }, i) => began - inOrder[i]!.ended)
  // The engine's log has whole milliseconds.
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(gapMs - 2)
}

describe('a lane', () => {
  it('is locked before its messages, by the scheduler too: a cancellation at that moment does not deadlock', async () => {
    const { phone, queue, show } = await newSender(app)
    const id = await queue(QUIET, 'not after all', { send_at: later(3_600).toISOString() })
    let releasing: Promise<number> | undefined
    await app.db.transaction(async (tx) => {
      await tx.query('select 1 from lanes where phone_number_id = $1 for update', [phone.id])
      releasing = app.ctx.queue.releaseScheduled(later(7_200))
      await eventually(async () => (await app.lockWaiters()) > 0)
      await tx.query('select 1 from messages where id = $1 for update nowait', [id])
      await tx.query(`update messages set status = 'canceled' where id = $1`, [id])
    })
    expect(await releasing).toBe(0)
    expect(await show(id)).toMatchObject({ status: 'canceled' })
  })

  it('sends single messages before bulk ones, each kind in its order', async () => {
    const { user, phone, queue, sentTexts } = await newSender(app)
    await user.post(path(phone.id, '/pause'))
    const messages = ['bulk 1', 'bulk 2', 'bulk 3'].map((text) => ({ number: QUIET, text }))
    expect((await user.post('/api/messages/bulk', { token: phone.token, messages })).status).toBe(202)
    for (const text of ['single 1', 'single 2']) await queue(QUIET, text)
    await user.post(path(phone.id, '/resume'))
    await eventually(() => Promise.resolve(sentTexts().length === 5))
    expect(sentTexts()).toEqual(['single 1', 'single 2', 'bulk 1', 'bulk 2', 'bulk 3'])
  })

  it('has one message in flight, in the order of acceptance, whichever replica took them', async () => {
    const { user, phone, engineCalls, timesSent } = await newSender(app)
    const replica = await app.startReplica()
    const calls = [user, app.as(user, replica)]
    const ids = await Promise.all(
      Array.from({ length: 16 }, async (_, n) => {
        const body = { token: phone.token, number: SLOW, text: `replica ${n}` }
        const answer = await calls[n % 2]!.post('/api/messages/send-text?wait=0', body)
        return { id: answer.body.message.id as number, text: body.text }
      }),
    )
    await eventually(() => Promise.resolve(engineCalls().length === 16))
    expectOneAtATime(engineCalls())
    const inOrder = ids.sort((a, b) => a.id - b.id).map(({ text }) => text)
    expect(engineCalls().map(({ body }) => body.text)).toEqual(inOrder)
    for (const { text } of ids) expect(timesSent(SLOW, text)).toBe(1)
    await replica.close()
  })

  it('keeps the gap of its number after each send, and has none before the first', async () => {
    const { lane, queue, engineCalls, text } = await newSender(app)
    await lane('gap_seconds = 0.4')
    expect((await text(QUIET, 'gap 0')).body.message.status).toBe('sent')
    for (let n = 1; n < 4; n++) await queue(QUIET, `gap ${n}`)
    await eventually(() => Promise.resolve(engineCalls().length === 4))
    expectOneAtATime(engineCalls(), 300) // ±25 %
  })

  it('does not hold up the lane of another number', async () => {
    const slow = await newSender(app)
    const quick = await newSender(app)
    slow.phone.controls.teachRecipient('6281234500001', { answer: 'hang' })
    const hanging = await slow.queue('6281234500001', 'stuck')
    expect((await quick.text(QUIET, 'free')).body.message.status).toBe('sent')
    expect((await slow.show(hanging)).status).toBe('sending')
    const behind = await slow.queue(QUIET, 'behind')
    expect(await slow.queueState()).toMatchObject({ in_flight: hanging, queued: 1 })
    expect((await slow.show(behind)).status).toBe('queued')
  })
})

describe('a lane that is known to be blocked', () => {
  it('answers 202 at once, waits, and flows when the number is back', async () => {
    const { phone, text, queue, tryAgain, queueState, becomes, timesSent } = await newSender(app)
    phone.controls.setTroubles({ connection_closed: true }, phone.engine_name)
    const first = await queue(QUIET, 'first')
    await eventually(async () => (await queueState()).blocked_reason === 'number_disconnected')
    const second = await text(QUIET, 'second', {}, '?wait=60')
    expect([second.status, second.body.message.status]).toEqual([202, 'queued'])
    expect(await queueState()).toMatchObject({
      queued: 2,
      scheduled: 0,
      in_flight: null,
      oldest_at: expect.any(String),
      blocked_since: expect.any(String),
    })
    phone.controls.clearTroubles(phone.engine_name)
    await tryAgain()
    await becomes(second.body.message.id as number, 'sent')
    await becomes(first, 'sent')
    expect([timesSent(QUIET, 'first'), timesSent(QUIET, 'second')]).toEqual([1, 1])
    expect(await queueState()).toMatchObject({ queued: 0, blocked_reason: null, blocked_since: null, oldest_at: null })
  })

  it('is opened by the engine’s word that the number is connected again', async () => {
    const { phone, queue, becomes, queueState } = await newSender(app)
    await app.crew.reconciler.runOnce()
    phone.controls.setTroubles({ connection_closed: true }, phone.engine_name)
    const id = await queue(QUIET, 'reconnect')
    await eventually(async () => (await queueState()).blocked_reason !== null)
    phone.controls.clearTroubles(phone.engine_name)
    phone.controls.disconnect(phone.engine_name, 428)
    await becomes(id, 'sent')
  })

  it('lets messages expire whose time is over, gives their quota back once, and never before it was blocked', async () => {
    const { user, phone, queue, show, used, queueState, becomes } = await newSender(app)
    await user.post(path(phone.id, '/pause'))
    const short = await queue(QUIET, 'otp', { ttl_seconds: 60 })
    const long = await queue(QUIET, 'news', { ttl_seconds: 3_600 })
    expect(await app.ctx.queue.expire(later(3 * 86_400))).toBe(0) // a pause is no outage
    phone.controls.setTroubles({ connection_closed: true }, phone.engine_name)
    await user.post(path(phone.id, '/resume'))
    await eventually(async () => (await queueState()).blocked_reason !== null)
    expect(await app.ctx.queue.expire(later(50))).toBe(0)
    expect(await app.ctx.queue.expire(later(70))).toBe(1)
    expect(await app.ctx.queue.expire(later(70))).toBe(0)
    expect(await show(short)).toMatchObject({ status: 'expired', error: { code: 'ttl_over' } })
    expect(await show(long)).toMatchObject({ status: 'queued' })
    expect(await used()).toBe(1)
    phone.controls.clearTroubles(phone.engine_name)
    await becomes(long, 'sent')
    expect(await used()).toBe(1)
  })

  it('is that of a server which is down: others are unaffected, and what waited flows after its return', async () => {
    const database = SandboxDatabase.open()
    const options = { name: 'far-away', api_key: ENGINE_KEY, connect_wait_ms: 20, ack_delay_ms: 20, database }
    const far = await startSandbox(options)
    const down = await newSender(app)
    const well = await newSender(app)
    const { server_instance } = (
      await app.db.query<{ server_instance: string }>('select server_instance from phone_numbers where id = $1', [
        down.phone.id,
      ])
    ).rows[0]!
    const home = app.ctx.pool.client(server_instance).url
    try {
      await far.close()
      await app.db.query(`insert into servers (name, url) values ('far-away', $1)`, [far.url])
      await app.db.query('update phone_numbers set server_instance = $2 where id = $1', [down.phone.id, 'far-away'])
      app.ctx.pool.set('far-away', far.url)
      const waiting = await down.queue(QUIET, 'server down')
      await eventually(async () => (await down.queueState()).blocked_reason === 'server_unreachable')
      expect((await well.text(QUIET, 'server up')).body.message.status).toBe('sent')
      const otp = await down.queue(QUIET, 'too late', { ttl_seconds: 60 })
      expect(await app.ctx.queue.expire(later(70))).toBe(1)
      expect([(await down.show(otp)).status, await down.used()]).toEqual(['expired', 1])
      await app.db.query('update servers set url = $1 where name = $2', [home, 'far-away'])
      app.ctx.pool.set('far-away', home)
      app.ctx.pool.breaker('far-away').close()
      await down.tryAgain()
      await down.becomes(waiting, 'sent')
      expect(down.sentTexts()).toEqual(['server down'])
    } finally {
      await app.db.query('update phone_numbers set server_instance = $2 where id = $1', [
        down.phone.id,
        server_instance,
      ])
      await app.db.query(`delete from servers where name = 'far-away'`)
    }
  })
})

describe('the owner of a lane', () => {
  it('pauses it, purges it with its quota given back, and goes on', async () => {
    const { user, phone, queue, show, used, queueState, text } = await newSender(app)
    expect((await user.post(path(phone.id, '/pause'))).body.queue.paused).toBe(true)
    const at = new Date(Date.now() + 3_600_000).toISOString()
    const ids = [await queue(QUIET, 'a'), await queue(QUIET, 'b'), await queue(QUIET, 'c', { send_at: at })]
    expect(await queueState()).toMatchObject({ queued: 2, scheduled: 1, paused: true, in_flight: null })
    const held = await text(QUIET, 'd', {}, '?wait=60')
    expect([held.status, held.body.message.status]).toEqual([202, 'queued'])
    expect((await user.delete(path(phone.id))).body).toMatchObject({ success: true, canceled: 4 })
    for (const id of ids) expect(await show(id)).toMatchObject({ status: 'canceled', error: { code: 'purged' } })
    expect([await used(), (await queueState()).queued]).toEqual([0, 0])
    await user.post(path(phone.id, '/resume'))
    expect((await text(QUIET, 'after')).body.message.status).toBe('sent')
  })

  it('cancels one message once, and not what is on its way or gone', async () => {
    const { user, phone, queue, text, show, used } = await newSender(app)
    const sent = (await text(QUIET, 'gone')).body.message.id as number
    await user.post(path(phone.id, '/pause'))
    const id = await queue(QUIET, 'never')
    for (let time = 0; time < 2; time++)
      expect((await user.post(`/api/messages/${id}/cancel`)).body.message).toMatchObject({ status: 'canceled' })
    const refused = await user.post(`/api/messages/${sent}/cancel`)
    expect([refused.status, refused.body.error.code]).toEqual([409, 'conflict'])
    expect([await used(), (await show(sent)).status]).toEqual([1, 'sent'])
  })

  it('is told what still waits before a number is linked again', async () => {
    const { user, phone, queue } = await newSender(app)
    await user.post(path(phone.id, '/pause'))
    for (const text of ['from before', 'as well']) await queue(QUIET, text)
    await user.post(`/api/phone-numbers/${phone.id}/logout`)
    const qr = async () => (await user.get(`/api/phone-numbers/${phone.id}/qr`)).body.phone_number
    expect((await qr()).queued).toBe(2)
    expect((await user.delete(path(phone.id, ''))).body.canceled).toBe(2)
    expect((await qr()).queued).toBe(0)
  })

  it('deletes the number, and what waits in it is canceled and refunded', async () => {
    const { user, phone, queue, show, used } = await newSender(app)
    await user.post(path(phone.id, '/pause'))
    const at = new Date(Date.now() + 3_600_000).toISOString()
    const ids = [await queue(QUIET, 'x'), await queue(QUIET, 'y', { send_at: at })]
    const file = { mediaType: 'document', base64: 'aGVsbG8=', token: phone.token, number: QUIET }
    ids.push((await user.post('/api/messages/send-media', file)).body.message.id as number)
    expect((await user.delete(`/api/phone-numbers/${phone.id}`)).status).toBe(200)
    for (const id of ids)
      expect(await show(id)).toMatchObject({ status: 'canceled', error: { code: 'phone_number_deleted' } })
    expect((await app.db.query('select 1 from media where message_id = any($1)', [ids])).rowCount).toBe(0)
    expect(await used()).toBe(0)
    expect(await app.ctx.queue.releaseScheduled(later(7_200))).toBe(0)
  })
})
