import { QUIET, eventsOf, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

const later = (seconds: number) => new Date(Date.now() + seconds * 1000)
const AFTER_SILENCE = 601
let numbers = 6281400000000
const person = () => String(++numbers)

describe('a message without any acknowledgement', () => {
  it('is warned of after ten minutes, once, and not in groups; the first word takes the warning back', async () => {
    const { user, phone, text, show, becomes } = await newSender(app)
    const { id, whatsapp_id } = (await text(QUIET, 'silent')).body.message
    const group = (await text('120363000000000001@g.us', 'groups tell nothing')).body.message.id as number
    await app.ctx.acknowledgements.warnSilent(later(500))
    expect((await show(id as number)).warning).toBeNull()
    await app.ctx.acknowledgements.warnSilent(later(AFTER_SILENCE))
    await app.ctx.acknowledgements.warnSilent(later(AFTER_SILENCE))
    expect([(await show(id as number)).warning, (await show(group)).warning]).toEqual(['no_ack', null])
    const warnings = (await eventsOf(app, user, 'message.status')).filter(
      ({ data }) => (data.message as { warning: string | null }).warning === 'no_ack',
    )
    expect(warnings).toHaveLength(1)
    phone.controls.status(phone.engine_name, whatsapp_id as string, 'DELIVERY_ACK')
    await becomes(id as number, 'delivered')
    expect((await show(id as number)).warning).toBeNull()
  })

  it('lowers ack_ratio_1h; a number with few of them is degraded, told once, until it recovers', async () => {
    const { user, phone, queue, becomes } = await newSender(app)
    const health = async () => {
      const { rows } = await app.db.query<{ degraded_since: Date | null }>(
        'select degraded_since from phone_numbers where id = $1',
        [phone.id],
      )
      const { phone_number } = (await user.get(`/api/phone-numbers/${phone.id}/status`)).body
      return { ratio: phone_number.ack_ratio_1h as number | null, degraded: rows[0]!.degraded_since !== null }
    }
    const measure = (seconds: number) => app.ctx.acknowledgements.measure(later(seconds))
    const ids: number[] = []
    for (let n = 0; n < 10; n++) ids.push(await queue(QUIET, `unheard ${n}`))
    for (const id of ids) await becomes(id, 'sent')
    await measure(300)
    expect(await health()).toEqual({ ratio: null, degraded: false }) // too early to say
    await measure(AFTER_SILENCE)
    await measure(AFTER_SILENCE)
    expect(await health()).toEqual({ ratio: 0, degraded: true })
    expect(await eventsOf(app, user, 'phone_number.degraded')).toMatchObject([
      { data: { ack_ratio_1h: 0, messages: 10 } },
    ])

    const { messages } = (await user.get('/api/messages')).body as { messages: { id: number; whatsapp_id: string }[] }
    for (const { whatsapp_id } of messages.slice(0, 8))
      phone.controls.status(phone.engine_name, whatsapp_id, 'DELIVERY_ACK')
    for (const { id } of messages.slice(0, 8)) await becomes(id, 'delivered')
    await measure(AFTER_SILENCE)
    expect(await health()).toEqual({ ratio: 0.8, degraded: false })
    await measure(3 * 3_600)
    expect(await health()).toEqual({ ratio: null, degraded: false }) // nothing was sent in that hour
    expect(await eventsOf(app, user, 'phone_number.degraded')).toHaveLength(1)
  })
})

describe('refusals of new contacts in a row', () => {
  it('close new conversations, told once; replies flow, and it lifts by itself', async () => {
    const { user, phone, queue, show, becomes, timesSent, text, lane, queueState } = await newSender(app)
    const known = person()
    phone.controls.incoming(phone.engine_name, { chat: known, text: 'I wrote first' })
    await eventually(async () => (await user.get('/api/messages?direction=incoming')).body.messages.length === 1)
    const friend = person()
    const send_at = new Date(Date.now() + 3_600_000).toISOString()
    const scheduled = await queue(friend, 'planned before they wrote', { send_at })
    phone.controls.incoming(phone.engine_name, { chat: friend, text: 'Here I am' })
    await eventually(async () => (await user.get('/api/messages?direction=incoming')).body.messages.length === 2)
    const refusedBy = Array.from({ length: 5 }, () => person())
    for (const number of refusedBy) phone.controls.teachRecipient(number, { receipts: 'none' })
    const refused = await Promise.all(refusedBy.map((number) => queue(number, 'refused')))
    for (const id of refused) {
      await becomes(id, 'sent')
      phone.controls.status(phone.engine_name, (await show(id)).whatsapp_id!, 'ERROR')
    }
    for (const id of refused) await becomes(id, 'failed')

    const restriction = async () =>
      (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number.restriction
    expect(await restriction()).toMatchObject({ type: 'new_conversations', until: expect.any(String) })
    expect(await eventsOf(app, user, 'phone_number.restricted')).toMatchObject([
      { data: { restriction: { type: 'new_conversations' } } },
    ])

    const stranger = person()
    const curious = person()
    const waiting = await queue(stranger, 'new conversation')
    const answered = await queue(curious, 'they write soon')
    expect((await text(known, 'a reply')).body.message.status).toMatch(/sent|delivered|read/)
    expect([(await show(waiting)).status, (await show(answered)).status]).toEqual(['queued', 'queued'])
    expect(await queueState()).toMatchObject({ queued: 2, restricted_until: expect.any(String) })

    phone.controls.incoming(phone.engine_name, { chat: curious, text: 'Hello?' })
    await becomes(answered, 'sent', 'delivered', 'read')
    expect(timesSent(stranger, 'new conversation')).toBe(0)

    await app.ctx.queue.releaseScheduled(new Date(Date.now() + 7_200_000))
    await becomes(scheduled, 'sent', 'delivered', 'read')

    await lane(`restricted_until = now(), due_at = now()`)
    await app.db.query(
      `update phone_numbers set restriction = restriction || '{"until":"2026-01-01T00:00:00Z"}' where id = $1`,
      [phone.id],
    )
    await app.ctx.lanes.runDue()
    await becomes(waiting, 'sent', 'delivered', 'read')
    expect(await restriction()).toBeNull()
  })

  it('do not count where one in between arrived, nor where the contact is known', async () => {
    const { user, phone, queue, becomes } = await newSender(app)
    const sendTo = async (receipts: 'error' | 'read', incoming = false) => {
      const number = person()
      phone.controls.teachRecipient(number, { receipts })
      if (incoming) {
        phone.controls.incoming(phone.engine_name, { chat: number, text: 'hi' })
        await eventually(async () => (await user.get(`/api/messages?recipient=${number}`)).body.messages.length === 1)
      }
      await becomes(await queue(number, 'x'), receipts === 'error' ? 'failed' : 'read')
    }
    for (const receipts of ['error', 'error', 'read', 'error', 'error'] as const) await sendTo(receipts)
    await sendTo('error', true)
    expect(await eventsOf(app, user, 'phone_number.restricted')).toEqual([])
  })
})
