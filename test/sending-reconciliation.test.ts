import { QUIET, lookHarder, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 1_200 } })
})
afterAll(() => app.stop())

const GONE_OUT = ['sent', 'delivered', 'read']
let numbers = 6281300000000
const person = () => String(++numbers)
const look = (seconds = 60) => app.ctx.reconciliation.runDue(new Date(Date.now() + seconds * 1000))

it('equal words to two people in one lane find each their own', async () => {
  const { phone, queue, show, becomes } = await newSender(app)
  const people = [person(), person()]
  for (const number of people) phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'none' })
  const ids = [await queue(people[0]!, 'same words'), await queue(people[1]!, 'same words')]
  for (const [n, id] of ids.entries()) {
    await becomes(id, 'sent')
    const sent = phone.controls.ledger.messagesOf({ recipient: people[n] })
    expect(sent.map(({ key_id }) => key_id)).toEqual([(await show(id)).whatsapp_id])
  }
})

it('equal words to one person, both answers lost, end with different ids or none, and are never repeated', async () => {
  const { phone, queue, show, timesSent } = await newSender(app)
  const number = person()
  phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'none' })
  const ids = [await queue(number, 'twice'), await queue(number, 'twice')]
  await eventually(() => Promise.resolve(timesSent(number, 'twice') === 2))
  await lookHarder(app, 8)
  const found = await Promise.all(ids.map(async (id) => (await show(id)).whatsapp_id))
  const known = found.filter((id) => id !== null)
  expect(new Set(known).size).toBe(known.length)
  const keys = phone.controls.ledger.messagesOf({ recipient: number }).map(({ key_id }) => key_id)
  for (const id of known) expect(keys).toContain(id)
  expect(timesSent(number, 'twice')).toBe(2)
})

it('a chat that is addressed by its privacy id is found, unless another one could be meant', async () => {
  const { phone, queue, show, becomes } = await newSender(app)
  const [alone, one, two] = [person(), person(), person()] as [string, string, string]
  for (const number of [alone, one, two])
    phone.controls.teachRecipient(number, { answer: 'reset', lid: true, receipts: 'none' })
  const found = await queue(alone, 'only to one')
  await becomes(found, 'sent')
  const { key_id } = phone.controls.ledger.messagesOf({ recipient: alone })[0]!
  expect((await show(found)).whatsapp_id).toBe(key_id)

  phone.controls.setTroubles({ zombie: true }, phone.engine_name)
  const ids = [await queue(one, 'to two'), await queue(two, 'to two')]
  await lookHarder(app, 3)
  for (const [n, id] of ids.entries()) {
    const { whatsapp_id } = await show(id)
    const keys = phone.controls.ledger.messagesOf({ recipient: [one, two][n] }).map((sent) => sent.key_id)
    if (whatsapp_id !== null) expect(keys).toEqual([whatsapp_id])
  }
})

it('a send to a privacy id is found although the engine reports it under the phone number', async () => {
  const { phone, queue, show, becomes } = await newSender(app)
  const number = person()
  phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'none' })
  const id = await queue(`1${number}@lid`, 'to a privacy id')
  await becomes(id, 'sent')
  const [sent] = phone.controls.ledger.messagesOf({ recipient: number })
  expect((await show(id)).whatsapp_id).toBe(sent!.key_id)
})

it('an answer that is lost while the next message is in flight is found without waiting for that', async () => {
  const { phone, queue, show, becomes } = await newSender(app)
  const number = person()
  phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'none' })
  const lost = await queue(number, 'lost')
  const next = await queue('628000000012', 'next')
  await becomes(next, 'sending')
  await look()
  await becomes(lost, ...GONE_OUT)
  expect((await show(next)).status).toBe('sending')
  await becomes(next, ...GONE_OUT)
})

it('the report of a message in flight is not taken for an earlier one with the same words', async () => {
  const { phone, queue, show, becomes, timesSent } = await newSender(app)
  const number = person()
  // Never arrived anywhere, and nobody can know.
  phone.controls.teachRecipient(number, { refusal: { status: 400, message: ['Error: Timed Out'] } })
  const lost = await queue(number, 'again')
  await becomes(lost, 'unconfirmed')
  phone.controls.teachRecipient(number, { refusal: null, receipts: 'before_answer' })
  const second = await queue(number, 'again')
  await becomes(second, ...GONE_OUT)
  await lookHarder(app, 8)
  expect(await show(lost)).toMatchObject({ status: 'unconfirmed', whatsapp_id: null })
  expect(timesSent(number, 'again')).toBe(1)
})

it('what was typed on the phone is not taken for a lost send with the same words', async () => {
  const { phone, queue, show, becomes, allHeard } = await newSender(app)
  const lost = await queue('628000000015', 'typed too')
  await becomes(lost, 'unconfirmed')
  phone.controls.typed(phone.engine_name, { chat: '628000000015', text: 'typed too' })
  await allHeard()
  await lookHarder(app, 8)
  expect(await show(lost)).toMatchObject({ status: 'unconfirmed', whatsapp_id: null })
})

it('reports that came before the id was known count as soon as it is', async () => {
  const { phone, queue, becomes, show } = await newSender(app)
  const number = person()
  phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'before_answer' })
  const id = await queue(number, 'early')
  await becomes(id, 'read')
  expect((await show(id)).history.map(({ status }) => status)).toEqual(
    expect.arrayContaining(['unconfirmed', 'sent', 'read']),
  )
  expect((await app.db.query('select 1 from early_receipts where phone_number_id = $1', [phone.id])).rowCount).toBe(0)
})

it('finds media by kind, words and file name', async () => {
  const { user, phone, becomes } = await newSender(app)
  const number = person()
  phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'none' })
  const base64 = Buffer.from('%PDF-1.4\n%%EOF\n').toString('base64')
  const send = (fileName: string) =>
    user.post('/api/messages/send-media?wait=0', {
      token: phone.token,
      number,
      mediaType: 'document',
      base64,
      fileName,
      caption: 'Your bill',
    })
  const ids = [(await send('may.pdf')).body.message.id, (await send('june.pdf')).body.message.id]
  for (const id of ids) await becomes(id as number, 'sent')
})

it('an engine that cannot be asked is asked again, and nothing is counted against the message', async () => {
  const { phone, queue, becomes } = await newSender(app)
  const number = person()
  phone.controls.teachRecipient(number, { answer: 'reset', receipts: 'none' })
  const id = await queue(number, 'unasked')
  await becomes(id, 'unconfirmed', ...GONE_OUT)
  phone.controls.setTroubles({ refuse: '503' })
  await look()
  phone.controls.clearTroubles()
  await lookHarder(app, 1)
  await becomes(id, ...GONE_OUT)
})

it('a message whose caller prefers a duplicate waits for the fourth look, and is sent again once only', async () => {
  const { queue, show, becomes, timesSent } = await newSender(app)
  const id = await queue('628000000015', 'rather twice', { on_ambiguous: 'retry' })
  await becomes(id, 'unconfirmed')
  // The first look is made at once, by whoever comes first.
  const looks = async () =>
    (await app.db.query<{ looks: number }>('select looks from messages where id = $1', [id])).rows[0]!.looks
  for (let hour = 1; (await looks()) < 3; hour++) await look(hour * 3_600)
  expect(timesSent('628000000015', 'rather twice')).toBe(1)
  await look(100 * 3_600)
  await eventually(() => Promise.resolve(timesSent('628000000015', 'rather twice') === 2))
  await becomes(id, 'unconfirmed')
  await lookHarder(app, 8)
  expect([timesSent('628000000015', 'rather twice'), (await show(id)).status]).toEqual([2, 'unconfirmed'])
})

it('looks at an engine that does not answer count for nothing, whatever the caller prefers', async () => {
  const { phone, queue, show, becomes, timesSent } = await newSender(app)
  const id = await queue('628000000015', 'out of reach', { on_ambiguous: 'retry' })
  await becomes(id, 'unconfirmed')
  phone.controls.setTroubles({ refuse: '503' })
  const looks = async () =>
    (await app.db.query<{ looks: number }>('select looks from messages where id = $1', [id])).rows[0]!.looks
  const before = await looks()
  await lookHarder(app, 6)
  phone.controls.clearTroubles()
  expect(await looks()).toBeLessThanOrEqual(before + 1) // one may have been under way
  await look(7 * 3_600)
  expect([timesSent('628000000015', 'out of reach'), (await show(id)).status]).toEqual([1, 'unconfirmed'])
})

it('an engine that does not answer for a day is asked no more', async () => {
  const { phone, queue, becomes } = await newSender(app)
  const id = await queue('628000000015', 'never again')
  await becomes(id, 'unconfirmed')
  phone.controls.setTroubles({ refuse: '503' })
  await lookHarder(app, 26)
  phone.controls.clearTroubles()
  const { rows } = await app.db.query('select reconcile_at from messages where id = $1', [id])
  expect(rows).toEqual([{ reconcile_at: null }])
})

it('what went through a number that is deleted is soon looked for no more, and never sent again', async () => {
  const { user, phone, queue, show, becomes } = await newSender(app)
  const id = await queue('628000000015', 'farewell', { on_ambiguous: 'retry' })
  await becomes(id, 'unconfirmed')
  expect((await user.delete(`/api/phone-numbers/${phone.id}`)).status).toBe(200)
  await lookHarder(app, 8)
  const { rows } = await app.db.query('select reconcile_at from messages where id = $1', [id])
  expect([rows, (await show(id)).status]).toEqual([[{ reconcile_at: null }], 'unconfirmed'])
})

it('an unconfirmed message can be sent again by hand, as a message of its own, once per key', async () => {
  const { user, queue, becomes, timesSent, used } = await newSender(app)
  const id = await queue('628000000015', 'by hand')
  await becomes(id, 'unconfirmed')
  const again = () => user.post(`/api/messages/${id}/retry?wait=0`).set('idempotency-key', 'retry-1')
  const [first, second] = [await again(), await again()]
  expect(first.body.message).toMatchObject({ retry_of: id })
  expect(second.body.message.id).toBe(first.body.message.id)
  await becomes(first.body.message.id as number, 'unconfirmed')
  expect([timesSent('628000000015', 'by hand'), await used()]).toEqual([2, 2])
  const sent = await queue(QUIET, 'fine')
  await becomes(sent, 'sent')
  expect((await user.post(`/api/messages/${sent}/retry`)).status).toBe(409)
})

it('what stays unknown when all looks are over is emptied when it is old, as any other message', async () => {
  const { queue, becomes } = await newSender(app)
  const id = await queue('628000000015', 'of long ago')
  await becomes(id, 'unconfirmed')
  await app.db.query(`update messages set created_at = now() - interval '1 year', reconcile_at = null where id <= $1`, [
    id,
  ])
  await app.crew.pruner.runOnce()
  const { rows } = await app.db.query('select content, fingerprint from messages where id = $1', [id])
  expect(rows).toEqual([{ content: {}, fingerprint: null }])
})
