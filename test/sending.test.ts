import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ env: { ENGINE_SEND_TIMEOUT_SECONDS: '5' }, sandbox: { hang_seconds: 8 } })
})
afterAll(() => app.stop())

/** The looks of many hours, one after the other. */
async function lookHarder(looks: number) {
  for (let hour = 1; hour <= looks; hour++) await app.ctx.reconciliation.runDue(new Date(Date.now() + hour * 3_600_000))
}

const ECHO = '628000000001'

describe('a message tells the truth', () => {
  it('lists its steps with their times, newest message first', async () => {
    const user = await app.createUser()
    const phone = await app.connectedNumber(user)
    const sent = await user.post('/api/messages/send-text', { token: phone.token, number: '6281234567890', text: 'Hi' })
    expect(sent.status).toBe(200)
    const { id } = sent.body.message
    await eventually(async () => (await user.get(`/api/messages/${id}`)).body.message.status === 'read')
    const { message } = (await user.get(`/api/messages/${id}`)).body
    const steps = message.history.map((step: { status: string }) => step.status)
    expect(steps.slice(0, 3)).toEqual(['queued', 'sending', 'sent'])
    expect(steps.at(-1)).toBe('read')
    expect(message).toMatchObject({
      sent_at: expect.any(String),
      delivered_at: expect.any(String),
      read_at: expect.any(String),
    })
    const listed = await user.get('/api/messages?status=read&direction=outgoing')
    expect(listed.body.messages.map((one: { id: number }) => one.id)).toEqual([id])
  })

  it.each([
    ['628000000006', 'the answer comes after the time-out', 'sent'],
    ['628000000008', 'a proxy answers 500', 'sent'],
    ['628000000009', 'the connection is reset', 'sent'],
  ])('finds again what went to %s although %s', async (number, _why, status) => {
    const user = await app.createUser()
    const phone = await app.connectedNumber(user)
    const answer = await user.post('/api/messages/send-text', { token: phone.token, number, text: `to ${number}` })
    const { id } = answer.body.message
    await eventually(async () => {
      const now = (await user.get(`/api/messages/${id}`)).body.message.status
      return [status, 'delivered', 'read'].includes(now)
    })
    expect(app.sandboxes[0]!.controls.ledger.count(phone.engine_name, number, `to ${number}`)).toBe(1)
  })

  it.each([
    ['628000000007', 'a database text'],
    ['628000000015', 'a reset and no trace'],
  ])('leaves %s unconfirmed after %s, charged and never sent twice', async (number) => {
    const user = await app.createUser()
    const phone = await app.connectedNumber(user)
    const answer = await user.post('/api/messages/send-text', { token: phone.token, number, text: 'once' })
    expect(answer.status).toBe(202)
    expect(answer.body.message).toMatchObject({ status: 'unconfirmed', error: { code: 'no_clear_answer' } })
    await lookHarder(8)
    expect((await user.get(`/api/messages/${answer.body.message.id}`)).body.message.status).toBe('unconfirmed')
    expect(app.sandboxes[0]!.controls.ledger.count(phone.engine_name, number, 'once')).toBe(1)
    expect((await user.get('/api/dashboard')).body.dashboard.usage_today.used).toBe(1)
  })

  it('sends again what stays unknown when its caller prefers a duplicate to a loss', async () => {
    const user = await app.createUser()
    const phone = await app.connectedNumber(user)
    const body = { token: phone.token, number: '628000000015', text: 'twice', on_ambiguous: 'retry' }
    await user.post('/api/messages/send-text', body)
    await lookHarder(4)
    await eventually(() => app.sandboxes[0]!.controls.ledger.count(phone.engine_name, '628000000015', 'twice') === 2)
  })
})

describe('the other kinds of messages', () => {
  it('reach the engine as it wants them', async () => {
    const user = await app.createUser()
    const phone = await app.connectedNumber(user)
    const to = { token: phone.token, number: ECHO }
    const first = await user.post('/api/messages/send-text', { ...to, text: 'first' })
    const id = first.body.message.id as number
    const calls: [string, object][] = [
      ['send-location', { ...to, latitude: -6.2, longitude: 106.8, name: 'Jakarta' }],
      ['send-contact', { ...to, contacts: [{ full_name: 'Ani', phone_number: '0812 3456 7890' }] }],
      ['send-poll', { ...to, name: 'Lunch?', values: ['Soto', 'Sate'] }],
      ['send-reaction', { message_id: id, reaction: '👍' }],
      ['send-text', { ...to, text: 'an answer', quoted_message_id: id }],
      [
        'send-text',
        { token: phone.token, number: '120363000000000001@g.us', text: 'to all', mentions: ['6281234567890'] },
      ],
    ]
    for (const [call, body] of calls) {
      const answer = await user.post(`/api/messages/${call}`, body)
      expect([call, answer.status, answer.body.error]).toEqual([call, 200, undefined])
    }
  })
})
