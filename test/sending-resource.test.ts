import { expectRefusal } from './support/refusal.js'
import { QUIET, newSender } from './support/sending.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.stop())

const idsOf = (answer: { body: { messages: { id: number }[] } }) => answer.body.messages.map(({ id }) => id)

describe('the list of messages', () => {
  it('is filtered by number, status, direction and recipient, newest first', async () => {
    const { user, phone, text, queue, becomes } = await newSender(app)
    const other = await app.connectedNumber(user)
    const quiet = (await text(QUIET, 'one')).body.message.id as number
    const failed = await queue('628000000002', 'two')
    await becomes(failed, 'failed')
    const elsewhere = (await user.post('/api/messages/send-text', { token: other.token, number: QUIET, text: 'three' }))
      .body.message.id as number
    phone.controls.incoming(phone.engine_name, { chat: QUIET, text: 'hello' })
    phone.controls.typed(phone.engine_name, { chat: '6281999', text: 'typed' })
    await eventually(async () => (await user.get('/api/messages')).body.messages.length === 5)
    const list = async (query: string) => idsOf(await user.get(`/api/messages?${query}`))
    const all = await list('')
    expect(all).toEqual([...all].sort((a, b) => b - a))
    expect(await list(`phone_number_id=${other.id}`)).toEqual([elsewhere])
    expect(await list('status=failed')).toEqual([failed])
    expect(await list(`status=sent&recipient=${QUIET}`)).toEqual([elsewhere, quiet])
    expect(await list(`recipient=${QUIET}&phone_number_id=${phone.id}&direction=outgoing`)).toEqual([quiet])
    expect(await list(`recipient=%2B${QUIET}&phone_number_id=${phone.id}&direction=outgoing`)).toEqual([quiet])
    const incoming = (await user.get('/api/messages?direction=incoming')).body.messages
    expect(incoming).toMatchObject([
      { direction: 'incoming', source: 'contact', status: 'received', recipient: QUIET, content: { text: 'hello' } },
    ])
    const typed = (await user.get('/api/messages?recipient=6281999')).body.messages
    expect(typed).toMatchObject([{ direction: 'outgoing', source: 'phone', content: { text: 'typed' } }])
  })

  it('has pages that overlap nowhere and leave nothing out', async () => {
    const { user, queue } = await newSender(app)
    const sent: number[] = []
    for (let n = 0; n < 7; n++) sent.push(await queue(QUIET, `page ${n}`))
    const pages: number[][] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const page = await user.get(`/api/messages?limit=3${cursor && `&cursor=${cursor}`}`)
      pages.push(idsOf(page))
      cursor = page.body.next_cursor as string | null
    }
    expect(pages.map(({ length }) => length)).toEqual([3, 3, 1])
    expect(pages.flat()).toEqual(sent.reverse())
    expectRefusal(await user.get('/api/messages?cursor=nonsense'), 400, 'invalid_request')
  })

  it('takes a window of time, its beginning included and its end not', async () => {
    const { user, queue, becomes } = await newSender(app)
    const ids: number[] = []
    for (let n = 0; n < 4; n++) ids.push(await queue(QUIET, `day ${n}`))
    for (const id of ids) await becomes(id, 'sent')
    for (const [n, id] of ids.entries())
      await app.db.query(`update messages set created_at = '2099-03-0${n + 1}T12:00:00Z' where id = $1`, [id])
    const window = async (query: string) => idsOf(await user.get(`/api/messages?${query}`))
    expect(await window('from=2099-03-02T12:00:00Z')).toEqual([ids[3], ids[2], ids[1]])
    expect(await window('to=2099-03-02T12:00:00Z')).toEqual([ids[0]])
    expect(await window('from=2099-03-02T19:00:00%2B07:00&to=2099-03-04T12:00:00Z')).toEqual([ids[2], ids[1]])
    expect(await window('from=2099-03-05T00:00:00Z&to=2099-03-06T00:00:00Z')).toEqual([])
    expectRefusal(await user.get('/api/messages?from=yesterday'), 400, 'invalid_request')
    expectRefusal(await user.get('/api/messages?status=pending'), 400, 'invalid_request')
  })
})

describe('the status of a message', () => {
  it('moves forward only, each step with its time', async () => {
    const { phone, text, show, becomes, allHeard } = await newSender(app)
    const { id, whatsapp_id } = (await text(QUIET, 'forward')).body.message
    const report = (status: string) => phone.controls.status(phone.engine_name, whatsapp_id as string, status)
    report('DELIVERY_ACK')
    await becomes(id, 'delivered')
    report('READ')
    await becomes(id, 'read')
    for (const late of ['SERVER_ACK', 'DELIVERY_ACK', 'READ', 'ERROR', 'PLAYED', 'PENDING']) report(late)
    await allHeard()
    const { status, history, error } = await show(id)
    expect([status, error]).toEqual(['read', null])
    expect(history.map((step) => step.status)).toEqual(['queued', 'sending', 'sent', 'delivered', 'read'])
    const times = history.map(({ at }) => Date.parse(at))
    expect(times).toEqual([...times].sort((a, b) => a - b))
  })

  it('becomes read without having been delivered first, and PLAYED counts as read', async () => {
    const { phone, text, show, becomes } = await newSender(app)
    const { id, whatsapp_id } = (await text(QUIET, 'played')).body.message
    phone.controls.status(phone.engine_name, whatsapp_id as string, 'PLAYED')
    await becomes(id, 'read')
    expect(await show(id)).toMatchObject({ delivered_at: expect.any(String), read_at: expect.any(String) })
  })

  it('ends as refused_by_whatsapp, charged as it reached WhatsApp, and comes back when it arrives after all', async () => {
    const { phone, text, show, becomes, used } = await newSender(app)
    const { id, whatsapp_id } = (await text('628000000004', 'refused')).body.message
    await becomes(id, 'failed')
    expect((await show(id)).error).toMatchObject({ code: 'refused_by_whatsapp' })
    expect(await used()).toBe(1)
    phone.controls.status(phone.engine_name, whatsapp_id as string, 'DELIVERY_ACK')
    await becomes(id, 'delivered')
    expect((await show(id)).error).toBeNull()
  })
})
