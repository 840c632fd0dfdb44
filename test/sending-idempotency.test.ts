import { expectRefusal } from './support/refusal.js'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

async function keyed() {
  const sender = await newSender(app)
  const { user, phone } = sender
  const send = (key: string, fields: object = {}, calls: Pick<typeof user, 'post'> = user) =>
    calls
      .post('/api/messages/send-text', { token: phone.token, number: QUIET, text: 'once', ...fields })
      .set('idempotency-key', key)
  return { ...sender, send }
}

describe('an Idempotency-Key', () => {
  it('used by many at once on two replicas sends once per key, and all hear of the same message', async () => {
    const { user, send, timesSent, used } = await keyed()
    const replica = await app.startReplica()
    const calls = [user, app.as(user, replica)]
    const keys = ['k1', 'k2', 'k3', 'k4']
    const answers = await Promise.all(
      keys.flatMap((key) => Array.from({ length: 20 }, (_, n) => send(key, { text: `by ${key}` }, calls[n % 2]))),
    )
    for (const [n, key] of keys.entries()) {
      const own = answers.slice(n * 20, n * 20 + 20)
      expect(own.map(({ status }) => status)).toEqual(Array(20).fill(200))
      expect(new Set(own.map(({ body }) => body.message.id)).size).toBe(1)
      expect(timesSent(QUIET, `by ${key}`)).toBe(1)
    }
    expect(await used()).toBe(4)
    await replica.close()
  })

  it('with another body is refused and costs nothing', async () => {
    const { send, used } = await keyed()
    await send('mine')
    for (const change of [{ text: 'other' }, { number: '6281111111111' }, { on_ambiguous: 'retry' }])
      expectRefusal(await send('mine', change), 422, 'idempotency_mismatch')
    expect(await used()).toBe(1)
  })

  it('is remembered by a process that started later', async () => {
    const { user, send, timesSent } = await keyed()
    const first = await send('restart')
    const reborn = await app.startReplica()
    const second = await send('restart', {}, app.as(user, reborn))
    expect([second.status, second.body.message.id]).toEqual([200, first.body.message.id])
    expect(timesSent(QUIET, 'once')).toBe(1)
    await reborn.close()
  })

  it('of a message that failed tells the same failure again', async () => {
    const { send, engineCalls, used } = await keyed()
    for (let time = 0; time < 2; time++)
      expectRefusal(await send('fails', { number: '628000000002' }), 422, 'recipient_not_on_whatsapp')
    expect([engineCalls().length, await used()]).toEqual([1, 0])
  })

  it('belongs to its user, and is free again where the request was refused', async () => {
    const { user, send, text } = await keyed()
    const other = await keyed()
    await app.db.query('update users set max_messages_per_day = 1 where id = $1', [user.id])
    expect((await text(QUIET, 'the last one')).status).toBe(200)
    expectRefusal(await send('refused'), 429, 'quota_exceeded')
    expectRefusal(await send('refused', { number: 'nobody' }), 400, 'invalid_request')
    expect((await other.send('refused', { text: 'of somebody else' })).status).toBe(200)
    await app.db.query('update users set max_messages_per_day = 9 where id = $1', [user.id])
    expect((await send('refused')).status).toBe(200)
  })

  it('is forgotten after a day', async () => {
    const { user, send, timesSent } = await keyed()
    const first = await send('daily')
    await app.db.query(`update idempotency_keys set created_at = created_at - interval '25 hours' where user_id = $1`, [
      user.id,
    ])
    const second = await send('daily', { text: 'once more' })
    expect(second.body.message.id).not.toBe(first.body.message.id)
    expect([timesSent(QUIET, 'once'), timesSent(QUIET, 'once more')]).toEqual([1, 1])
    await app.db.query(`update idempotency_keys set created_at = created_at - interval '25 hours'`)
    await app.crew.pruner.runOnce()
    expect((await app.db.query('select 1 from idempotency_keys')).rowCount).toBe(0)
  })

  it('counts the bytes of an upload', async () => {
    const { user, phone, engineCalls } = await keyed()
    const upload = (bytes: string) =>
      user
        .post('/api/messages/send-media')
        .set('idempotency-key', 'file')
        .field({ token: phone.token, number: QUIET, mediaType: 'document' })
        .attach('file', Buffer.from(bytes), 'notes.txt')
    const [first, second] = [await upload('the same bytes'), await upload('the same bytes')]
    expect([first.status, second.body.message.id]).toEqual([200, first.body.message.id])
    expectRefusal(await upload('other bytes'), 422, 'idempotency_mismatch')
    expect(engineCalls()).toHaveLength(1)
  })

  it.each([
    ['', 400],
    ['x'.repeat(256), 400],
    ['x'.repeat(255), 200],
  ])('of %# characters is checked', async (key, status) => {
    const { send } = await keyed()
    expect((await send(key)).status).toBe(status)
  })
})
