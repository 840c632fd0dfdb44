import { settle } from '../src/services/settlement.js'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 1_500, hang_seconds: 2 } })
})
afterAll(() => app.stop())

const CLOSED = { refusal: { status: 400, message: ['Error: Connection Closed'] } }

it('the outcome of an earlier claim, offered again after a lost commit, leaves the lane of the present claim alone', async () => {
  const { user, phone, queue, queueState, text, becomes } = await newSender(app)
  const id = await queue('628000000012', 'claimed twice')
  await becomes(id, 'sending')
  const stale = {
    id,
    attempts: 0, // the present claim is the first
    process_id: app.ctx.membership.id,
    user_id: user.id,
    phone_number_id: phone.id,
    status: 'queued' as const,
    blocked_reason: 'server_unreachable',
    whatsapp_id: null,
    error_code: null,
    error_message: null,
    engine_error: false,
    gap_factor: 1,
  }
  await settle(app.db, [stale], { gap_seconds: 0, process_id: app.ctx.membership.id })
  expect(await queueState()).toMatchObject({ in_flight: id, blocked_reason: null })
  expect((await text(QUIET, 'behind it')).status).toBe(200)
})

describe('the last message of a number that is deleted meanwhile', () => {
  it('is canceled and given back when it comes back unsent', async () => {
    const { user, phone, queue, show, becomes, used } = await newSender(app)
    phone.controls.teachRecipient('628555000111', { wait: 'slow', ...CLOSED })
    const id = await queue('628555000111', 'too late')
    await becomes(id, 'sending')
    await user.delete(`/api/phone-numbers/${phone.id}`)
    await eventually(async () => (await show(id)).status !== 'sending')
    expect(await show(id)).toMatchObject({ status: 'canceled', error: { code: 'phone_number_deleted' } })
    expect(await used()).toBe(0)
  })

  it('is canceled and given back when it was never begun', async () => {
    const { user, phone, queue, show, lane } = await newSender(app)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const id = await queue(QUIET, 'unheard')
    await app.db.query(
      `update messages set status = 'sending', attempts = 1, process_id = $2, starts_at = now(),
              updated_at = now() - interval '1 minute' where id = $1`,
      [id, app.ctx.membership.id],
    )
    await lane(`in_flight = ${id}`)
    await user.delete(`/api/phone-numbers/${phone.id}`)
    await app.ctx.lanes.recoverLost()
    expect(await show(id)).toMatchObject({ status: 'canceled', error: { code: 'phone_number_deleted' } })
  })
})

describe('a message that waits for the gap of its number', () => {
  it('is queued, as the engine does not have it: it can be canceled', async () => {
    const { user, phone, queue, show, text } = await newSender(app)
    await user.patch(`/api/phone-numbers/${phone.id}`, { send_gap_seconds: 3_600 })
    expect((await text(QUIET, 'first')).status).toBe(200)
    const id = await queue(QUIET, 'in an hour')
    expect((await show(id)).status).toBe('queued')
    expect((await user.post(`/api/messages/${id}/cancel`)).status).toBe(200)
  })

  it('does not go out while its queue is paused', async () => {
    const { user, phone, queue, text, lane, timesSent } = await newSender(app)
    expect((await text(QUIET, 'first')).status).toBe(200)
    await lane(`ready_at = now() + interval '2.5 seconds'`)
    await queue(QUIET, 'in a moment')
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const after = await newSender(app)
    for (const text of ['longer', 'than the gap']) await after.text('628000000012', text)
    expect(timesSent(QUIET, 'in a moment')).toBe(0)
  })
})

it('a send of which the engine also tells as of one from the phone is settled, and its lane goes on', async () => {
  const { phone, queue, becomes, text } = await newSender(app)
  phone.controls.teachRecipient('628555000333', { answer: 'hang', receipts: 'none', recorded: false })
  const id = await queue('628555000333', 'heard twice')
  const sent = () => phone.controls.ledger.messagesOf({ recipient: '628555000333' })
  await eventually(() => Promise.resolve(sent().length === 1))
  await app.engineSays(phone.engine_name, {
    event: 'messages.upsert',
    data: {
      key: { id: sent()[0]!.key_id, remoteJid: '628555000333@s.whatsapp.net', fromMe: true },
      message: { conversation: 'heard twice' },
      messageType: 'conversation',
      messageTimestamp: Math.floor(Date.now() / 1000),
    },
  })
  await becomes(id, 'sent')
  expect((await text(QUIET, 'next')).status).toBe(200)
})

it('a lane whose books are wrong does not hold up the lanes of others', async () => {
  const [wrong, other] = [await newSender(app), await newSender(app)]
  const stuck = await wrong.queue('628000000012', 'in flight')
  await wrong.queue(QUIET, 'behind it')
  await wrong.becomes(stuck, 'sending')
  await other.user.post(`/api/phone-numbers/${other.phone.id}/queue/pause`)
  const id = await other.queue(QUIET, 'nothing to do with it')
  await wrong.lane(`in_flight = null, due_at = now() - interval '1 minute'`)
  await other.lane('paused = false, due_at = now()')
  await app.ctx.lanes.runDue()
  await other.becomes(id, 'sent')
  expect((await wrong.show(stuck)).status).toBe('sending')
})

it('what a process accepts that the others have buried meanwhile is not lost as unconfirmed', async () => {
  const { user, phone, show, becomes, timesSent } = await newSender(app)
  const replica = await app.startReplica()
  const { always, workers } = replica.crew // the undertaker beats as well
  await Promise.all([...always, ...workers].map((worker) => worker.stop()))
  const { membership } = replica.context
  await app.db.query(`update processes set heartbeat_at = now() - interval '1 minute' where id = $1`, [membership.id])
  await app.ctx.membership.buryDead()
  await eventually(() => !membership.isAlive(), 15_000)
  const body = { token: phone.token, number: QUIET, text: 'to a ghost' }
  const answer = await app.as(user, replica).post('/api/messages/send-text?wait=0', body)
  if (answer.status !== 503) {
    const id = answer.body.message.id as number
    await app.ctx.membership.buryDead()
    await becomes(id, 'sent', 'unconfirmed')
    expect([(await show(id)).status, timesSent(QUIET, 'to a ghost')]).toEqual(['sent', 1])
  }
  await replica.close()
})
