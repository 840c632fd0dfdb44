import { settle } from '../src/services/settlement.js'
import { standBefore } from './support/engine-proxy.js'
import { QUIET, eventsOf, lookHarder, newSender } from './support/sending.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

/** Sent and reported, but its connection is reset before the answer. */
const RESET = '628000000009'
const STUCK = '6281234500001'

let app: TestApp
let people = 0
const person = () => `62812555${String(++people).padStart(5, '0')}`
beforeAll(async () => {
  app = await startTestApp({ servers: 1, env: { SEND_GAP_SECONDS: '0' } })
})
afterAll(() => app.stop())

const hasWritten = (user: TestUser) =>
  eventually(async () => (await user.get('/api/messages?direction=incoming')).body.messages.length === 1)

describe('a send whose answer was lost', () => {
  it.each(['keep', 'retry'])('is found though the same words go to others ever since (%s)', async (on_ambiguous) => {
    const { user, phone, queue, becomes, show, timesSent, allHeard } = await newSender(app)
    phone.controls.teachRecipient(STUCK, { answer: 'hang' })
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const [id, later] = [await queue(RESET, 'Promo', { on_ambiguous }), await queue(STUCK, 'Promo')]
    await user.post(`/api/phone-numbers/${phone.id}/queue/resume`)
    await becomes(later, 'sending')
    await allHeard()
    await app.db.query(`update messages set starts_at = now() + interval '1 minute' where id = $1`, [later])
    await lookHarder(app, 7)
    expect([(await show(id)).status, timesSent(RESET, 'Promo')]).toEqual([
      expect.stringMatching(/sent|delivered|read/),
      1,
    ])
  })
})

describe('a server that has no room', () => {
  it('keeps what waits for it out of doubt when the process stops', async () => {
    const [stuck, other] = [await newSender(app), await newSender(app)]
    await app.db.query('update lanes set due_at = null where phone_number_id = any($1)', [
      [stuck.phone.id, other.phone.id],
    ])
    const replica = await app.startReplica({ ROLE: 'api', SERVER_CONCURRENCY: '1' })
    stuck.phone.controls.teachRecipient(STUCK, { answer: 'hang' })
    const send = async (
      { user, phone }: { user: TestUser; phone: { token: string } },
      number: string,
      text: string,
    ) => {
      const body = { token: phone.token, number, text }
      return (await app.as(user, replica).post('/api/messages/send-text?wait=0', body)).body.message.id as number
    }
    await send(stuck, STUCK, 'stuck')
    await eventually(() => Promise.resolve(stuck.timesSent(STUCK, 'stuck') === 1))
    const id = await send(other, QUIET, 'waits for room')
    await other.becomes(id, 'sending')
    await replica.close()
    await other.tryAgain()
    await other.becomes(id, 'sent')
    expect(other.timesSent(QUIET, 'waits for room')).toBe(1)
  })

  it('and whose proxy says so takes no message after the other', async () => {
    const { queue, show, becomes, queueState, lane, user, phone, tryAgain } = await newSender(app)
    const proxy = await standBefore(app, 'sandbox-1')
    try {
      await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
      const ids: number[] = []
      for (let n = 0; n < 10; n++) ids.push(await queue(QUIET, `number ${n}`))
      proxy.instead = (_req, res) => {
        res.writeHead(502, { 'content-type': 'text/html' }).end('<html>502 Bad Gateway</html>')
        return true
      }
      await user.post(`/api/phone-numbers/${phone.id}/queue/resume`)
      await eventually(async () => (await queueState()).blocked_reason === 'server_unreachable')
      await lane(`due_at = 'infinity'`)
      proxy.instead = () => false
      app.ctx.pool.breaker('sandbox-1').close()
      await tryAgain()
      await becomes(ids.at(-1)!, 'sent')
      const statuses = await Promise.all(ids.map(async (id) => (await show(id)).status))
      expect(statuses.filter((status) => status === 'unconfirmed')).toHaveLength(1)
    } finally {
      await proxy.leave()
    }
  })
})

describe('a lane', () => {
  it('starts its next message once, though a late outcome is written beside the present one', async () => {
    const { user, phone, queue, becomes, lane } = await newSender(app)
    const late = await queue(QUIET, 'late')
    await becomes(late, 'sent')
    phone.controls.teachRecipient(STUCK, { answer: 'hang' })
    const present = await queue(STUCK, 'present')
    await becomes(present, 'sending')
    await lane('gap_seconds = 0')
    await queue(QUIET, 'next')
    const { rows } = await app.db.query<{ id: number; process_id: number; attempts: number }>(
      'select id, process_id, attempts from messages where id = any($1) order by id',
      [[late, present]],
    )
    const base = {
      ...{ user_id: user.id, phone_number_id: phone.id, whatsapp_id: null, error_code: null, error_message: null },
      ...{ engine_error: false, gap_factor: 0, blocked_reason: null, status: 'failed' as const },
    }
    const endings = rows.map((row) => ({ ...base, ...row }))
    const settled = await settle(app.db, endings, { gap_seconds: 0, process_id: app.ctx.membership.id })
    expect(settled.map(({ next }) => next !== undefined)).toEqual([false, true])
  })

  it('that has nothing left to send is not blocked any more', async () => {
    const { user, phone, queue, queueState, tryAgain, text } = await newSender(app)
    const number = person()
    phone.controls.teachRecipient(number, { refusal: { status: 500, message: 'Internal Server Error' } })
    const id = await queue(number, 'x')
    await eventually(async () => (await queueState()).blocked_reason === 'engine_error')
    await eventually(async () => (await user.post(`/api/messages/${id}/cancel`)).status === 200)
    await tryAgain()
    expect((await queueState()).blocked_reason).toBeNull()
    expect((await text(QUIET, 'y')).status).toBe(200)
  })

  it('keeps messages to groups while its number is offline, though the engine then knows no group', async () => {
    const { phone, queue, queueState, becomes, show } = await newSender(app)
    const [group, stranger] = ['120363000000000077@g.us', '120363999999999999@g.us']
    phone.controls.addGroup(group, 'Friends')
    phone.controls.setTroubles({ endless_connecting: true }, phone.engine_name)
    const id = await queue(group, 'Hello all')
    await eventually(async () => (await queueState()).blocked_reason === 'number_disconnected')
    expect((await show(id)).status).toBe('queued')
    phone.controls.clearTroubles(phone.engine_name)
    await becomes(id, 'sent', 'delivered', 'read')
    await becomes(await queue(stranger, 'Hello?'), 'failed')
  })

  it('in which only new contacts wait lets replies go', async () => {
    const { user, phone, queue, queueState, lane, becomes, tryAgain } = await newSender(app)
    const known = person()
    phone.controls.incoming(phone.engine_name, { chat: known, text: 'I wrote first' })
    await hasWritten(user)
    await lane(`restricted_until = now() + interval '6 hours'`)
    await queue(person(), 'waits for the end of the restriction')
    phone.controls.teachRecipient(known, { refusal: { status: 500, message: 'Internal Server Error' } })
    const first = await queue(known, 'first reply')
    await eventually(async () => (await queueState()).blocked_reason === 'engine_error')
    await eventually(async () => (await user.post(`/api/messages/${first}/cancel`)).status === 200)
    phone.controls.teachRecipient(known, { refusal: null })
    await tryAgain()
    await becomes(await queue(known, 'second reply'), 'sent', 'delivered', 'read')
  })

  it('lets go what is scheduled for somebody who wrote after the restriction began', async () => {
    const { user, phone, queue, lane, becomes } = await newSender(app)
    const friend = person()
    const id = await queue(friend, 'planned', { send_at: new Date(Date.now() + 3_600_000).toISOString() })
    const until = new Date(Date.now() + 6 * 3_600_000).toISOString()
    await lane(`restricted_until = '${until}'`)
    const restriction = { type: 'new_conversations', until }
    await app.db.query('update phone_numbers set restriction = $2 where id = $1', [phone.id, restriction])
    phone.controls.incoming(phone.engine_name, { chat: friend, text: 'Hello' })
    await hasWritten(user)
    await app.ctx.queue.releaseScheduled(new Date(Date.now() + 3_700_000))
    await becomes(id, 'sent', 'delivered', 'read')
  })

  it('is not restricted where one arrived among the refused, though that was reported before its answer', async () => {
    const { user, phone, queue, becomes } = await newSender(app)
    for (const receipts of ['error', 'error', 'before_answer', 'error'] as const) {
      const number = person()
      phone.controls.teachRecipient(number, { receipts })
      await becomes(await queue(number, 'x'), ...(receipts === 'error' ? ['failed'] : ['delivered', 'read']))
    }
    expect(await eventsOf(app, user, 'phone_number.restricted')).toEqual([])
  })

  it('with a long queue is deleted with all of it, and everything given back', async () => {
    const { user, phone, queue, used } = await newSender(app)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    await queue(QUIET, 'one')
    await app.db.query(
      `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, priority,
                             send_at, quota_day, fingerprint)
       select $1, $2, 'outgoing', 'api', 'text', '628' || (100000000 + n), '{"text":"Happy new year"}', 'queued', 1,
              now() + interval '30 days', current_date + 30, '\\x00' from generate_series(1, 1700) n`,
      [user.id, phone.id],
    )
    expect((await user.delete(`/api/phone-numbers/${phone.id}`)).status).toBe(200)
    const { rows } = await app.db.query(
      `select status, count(*) as n from messages where phone_number_id = $1 group by status`,
      [phone.id],
    )
    expect([rows, await used()]).toEqual([[{ status: 'canceled', n: 1_701 }], 0])
    expect(await eventsOf(app, user, 'message.status')).toHaveLength(1_701)
  })
})

describe('from: auto', () => {
  it('takes the numbers in turn, whatever is checked and whoever sends in between', async () => {
    const [user, other] = [await app.createUser({ plan_type: 'enterprise' }), await app.createUser()]
    for (const owner of [user, user, other]) await app.connectedNumber(owner)
    const used: number[] = []
    for (let n = 0; n < 6; n++) {
      const number = person()
      await user.post('/api/contacts/check', { from: 'auto', numbers: [number] })
      await other.post('/api/messages/send-text?wait=0', { from: 'auto', number, text: 'Hi' })
      const { body } = await user.post('/api/messages/send-text?wait=0', { from: 'auto', number, text: 'Hi' })
      used.push(body.message.phone_number_id)
    }
    const [one, two] = [used[0], used[1]]
    expect(used).toEqual([one, two, one, two, one, two])
    expect(one).not.toBe(two)
  })
})
