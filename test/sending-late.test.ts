import { settle } from '../src/services/settlement.js'
import { QUIET, lookHarder, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 1_500, hang_seconds: 2 } })
})
afterAll(() => app.stop())

it.each(['queued', 'failed', 'unconfirmed'] as const)(
  'a late outcome "%s" of a send that is unconfirmed by now changes nothing',
  async (status) => {
    const { user, phone, queue, show, becomes, used } = await newSender(app)
    const id = await queue('628000000015', 'who knows')
    await becomes(id, 'unconfirmed')
    const { history } = await show(id)
    const late = {
      id,
      attempts: 1,
      process_id: app.ctx.membership.id,
      user_id: user.id,
      phone_number_id: phone.id,
      status,
      blocked_reason: null,
      whatsapp_id: null,
      error_code: null,
      error_message: null,
      engine_error: false,
      gap_factor: 1,
    }
    await settle(app.db, [late], { gap_seconds: 0, process_id: null })
    expect(await show(id)).toMatchObject({ status: 'unconfirmed', history })
    expect(await used()).toBe(1)
  },
)

it('two sends that fail in one commit are both given back', async () => {
  const { user, phone, queue, show, used } = await newSender(app)
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const second = await app.connectedNumber(user)
  await user.post(`/api/phone-numbers/${second.id}/queue/pause`)
  const ids = [
    await queue(QUIET, 'one'),
    (await user.post('/api/messages/send-text?wait=0', { token: second.token, number: QUIET, text: 'two' })).body
      .message.id as number,
  ]
  expect(await used()).toBe(2)
  await app.db.query(
    `update messages set status = 'sending', attempts = 1, process_id = $2, starts_at = now() where id = any($1::bigint[])`,
    [ids, app.ctx.membership.id],
  )
  const failed = ids.map((id, n) => ({
    id,
    attempts: 1,
    process_id: app.ctx.membership.id,
    user_id: user.id,
    phone_number_id: [phone.id, second.id][n]!,
    status: 'failed' as const,
    blocked_reason: null,
    whatsapp_id: null,
    error_code: 'invalid_request',
    error_message: 'Refused.',
    engine_error: false,
    gap_factor: 1,
  }))
  await settle(app.db, failed, { gap_seconds: 0, process_id: null })
  expect(await Promise.all(ids.map(async (id) => (await show(id)).status))).toEqual(['failed', 'failed'])
  expect(await used()).toBe(0)
})

it('two that come together with one Idempotency-Key and other bodies: one is sent, the other refused', async () => {
  const { user, phone, text } = await newSender(app)
  expect((await text(QUIET, 'before')).status).toBe(200)
  const send = (words: string, key: string) =>
    app.api
      .post('/api/messages/send-text?wait=0')
      .set('x-api-key', user.api_key)
      .set('idempotency-key', key)
      .send({ token: phone.token, number: QUIET, text: words })
      .then((answer) => answer)
  let answers: ReturnType<typeof send>[] = []
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from daily_usage where user_id = $1 for update', [user.id])
    const holdsUp = send('holds up the others', 'first')
    await eventually(async () => (await app.lockWaiters()) > 0)
    answers = [holdsUp, send('one', 'twice'), send('another', 'twice')]
    await eventually(() => Promise.resolve(app.ctx.lanes.backlog.depth === 2))
  })
  const [, ...together] = await Promise.all(answers)
  const codes = together.map(({ body }) => body.error?.code ?? 'accepted')
  expect(codes.sort()).toEqual(['accepted', 'idempotency_mismatch'])
})

it('an Idempotency-Key is told about its message though the number is deleted by now', async () => {
  const { user, phone } = await newSender(app)
  const send = () =>
    app.api
      .post('/api/messages/send-text')
      .set('x-api-key', user.api_key)
      .set('idempotency-key', 'order-4711')
      .send({ token: phone.token, number: QUIET, text: 'once' })
  const first = await send()
  expect(first.status).toBe(200)
  await user.delete(`/api/phone-numbers/${phone.id}`)
  const again = await send()
  expect([again.status, again.body.message?.id]).toEqual([200, first.body.message.id])
})

it('a message that begins while it is being canceled goes on, and stays charged', async () => {
  const { user, phone, queue, show, used } = await newSender(app)
  await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
  const id = await queue(QUIET, 'too late')
  let answer: Promise<{ status: number }> | undefined
  await app.db.transaction(async (tx) => {
    await tx.query('select 1 from lanes where phone_number_id = $1 for update', [phone.id])
    answer = user.post(`/api/messages/${id}/cancel`).then(({ status }) => ({ status }))
    await eventually(async () => (await app.lockWaiters()) > 0)
    await tx.query(
      `update messages set status = 'sending', attempts = 1, process_id = $2, starts_at = now() where id = $1`,
      [id, app.ctx.membership.id],
    )
    await tx.query('update lanes set in_flight = $2 where phone_number_id = $1', [phone.id, id])
  })
  expect((await answer!).status).toBe(409)
  expect((await show(id)).status).toBe('sending')
  expect(await used()).toBe(1)
})

const toldAsSent = (engineName: string, id: string, text: string) =>
  app.engineSays(engineName, {
    event: 'send.message',
    instance: engineName,
    data: {
      key: { id, remoteJid: '628000000015@s.whatsapp.net', fromMe: true },
      message: { conversation: text },
      messageType: 'conversation',
      messageTimestamp: Math.floor(Date.now() / 1000),
    },
  })

it('a lost send is not taken for one of two that would explain it', async () => {
  const { queue, show, becomes } = await newSender(app)
  const id = await queue('628000000015', 'which of them')
  await becomes(id, 'unconfirmed')
  await app.db.query(
    `insert into early_receipts (phone_number_id, whatsapp_id, status, generation, recipient, fingerprint, sent_at)
     select phone_number_id, unnest(array['ONE', 'TWO']), 'sent', generation, recipient, fingerprint, now()
       from messages where id = $1`,
    [id],
  )
  await lookHarder(app, 3)
  expect(await show(id)).toMatchObject({ status: 'unconfirmed', whatsapp_id: null })
})

it('a lost send is not taken for one of another life of its number', async () => {
  const { phone, queue, show, becomes } = await newSender(app)
  const id = await queue('628000000015', 'of another life')
  await becomes(id, 'unconfirmed')
  expect((await toldAsSent(`${phone.instance_name}_g2`, 'OTHERLIFE', 'of another life')).status).toBe(200)
  expect(await show(id)).toMatchObject({ status: 'unconfirmed', whatsapp_id: null })
  expect((await toldAsSent(phone.engine_name, 'THISLIFE', 'of another life')).status).toBe(200)
  expect(await show(id)).toMatchObject({ status: 'sent', whatsapp_id: 'THISLIFE' })
})
