import { judgeAnswer, judgeSilence } from '../src/services/outcomes.js'
import { EngineUnreachable } from '../src/clients/engine-http.js'
import type { SendSituation } from '../src/sandbox/engine/behaviours.js'
import { exchanges } from './support/recordings.js'
import { QUIET, newSender } from './support/sending.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'

const shaped = (status: number, message: unknown) => ({ status, body: { status, error: 'x', response: { message } } })
const DATABASE = 'PrismaClientKnownRequestError: Invalid `create()` invocation: '

/** What a stand-in for WhatsApp really received decides: the contract's section 15.5, row by row. */
describe('an answer of the engine', () => {
  it.each<[string, ReturnType<typeof shaped> | { status: number; body: unknown }, object]>([
    ['201 with an id', { status: 201, body: { key: { id: '3EB0' } } }, { kind: 'sent', whatsapp_id: '3EB0' }],
    ['201 with the error of a provider', { status: 201, body: { error: { code: 131 } } }, { kind: 'ambiguous' }],
    ['201 with an empty body', { status: 201, body: '' }, { kind: 'ambiguous' }],
    ['400 socket closed', shaped(400, ['Error: Connection Closed']), { kind: 'wait', reason: 'number_disconnected' }],
    ['500 socket closed', shaped(500, 'Connection Closed'), { kind: 'wait', reason: 'number_disconnected' }],
    ['500 socket closed in a list', shaped(500, ['Error: Connection Closed']), { reason: 'number_disconnected' }],
    ['500 during the number check', shaped(500, 'Internal Server Error'), { kind: 'wait', reason: 'engine_error' }],
    ['400 during the key fetch', shaped(400, ['1006']), { kind: 'wait', reason: 'engine_error' }],
    [
      '500 no answer to the check',
      shaped(500, "Cannot read properties of undefined (reading 'find')"),
      { kind: 'wait' },
    ],
    ['400 no answer to the key fetch', shaped(400, ['SessionError: No sessions']), { kind: 'wait' }],
    [
      '400 while the QR code is shown',
      shaped(400, ["TypeError: Cannot read properties of undefined (reading 'id')"]),
      { kind: 'wait', reason: 'number_disconnected' },
    ],
    [
      '500 never connected',
      shaped(500, "Cannot read properties of undefined (reading 'onWhatsApp')"),
      { kind: 'wait', reason: 'number_disconnected' },
    ],
    ['500 failed upload', shaped(500, ['Error: Media upload failed on all hosts']), { kind: 'wait' }],
    ['401', shaped(401, 'Unauthorized'), { kind: 'wait', reason: 'server_refused' }],
    ['403', { status: 403, body: 'Forbidden' }, { kind: 'wait', reason: 'server_refused' }],
    [
      '503 without a licence',
      { status: 503, body: { code: 'LICENSE_REQUIRED', error: 'service not activated' } },
      { kind: 'wait' },
    ],
    [
      '404 of its guard',
      shaped(404, ['The "x" instance does not exist']),
      { kind: 'wait', reason: 'number_disconnected' },
    ],
    ['404 of a proxy', { status: 404, body: '<html>' }, { kind: 'ambiguous' }],
    [
      '400 of the schema',
      shaped(400, [['instance requires property "text"']]),
      { kind: 'failed', code: 'invalid_request' },
    ],
    ['400 business check', shaped(400, ['Text is required']), { kind: 'failed', code: 'invalid_request' }],
    ['400 bad media', shaped(400, ['Owned media must be a url or base64']), { kind: 'failed', code: 'media_rejected' }],
    [
      '400 not on WhatsApp',
      shaped(400, [{ exists: false, number: '1' }]),
      { kind: 'failed', code: 'recipient_not_on_whatsapp' },
    ],
    ['400 database text', shaped(400, [`${DATABASE}the table does not exist`]), { kind: 'ambiguous' }],
    ['400 database text that quotes a good one', shaped(400, [`${DATABASE}Connection Closed`]), { kind: 'ambiguous' }],
    ['400 timed out', shaped(400, ['Error: Timed Out']), { kind: 'ambiguous' }],
    ['400 broken pipe', shaped(400, ['Error: write EPIPE']), { kind: 'ambiguous' }],
    ['400 unlisted', shaped(400, ['Error: something new']), { kind: 'ambiguous' }],
    ['500 of a proxy', { status: 500, body: '<html>' }, { kind: 'ambiguous' }],
    ['502 of a proxy', { status: 502, body: '<html>' }, { kind: 'ambiguous' }],
    ['504 of a proxy', { status: 504, body: '' }, { kind: 'ambiguous' }],
    ['a redirect', { status: 302, body: '' }, { kind: 'ambiguous' }],
  ])('%s', (_what, answer, outcome) => {
    expect(judgeAnswer(answer, { group: false })).toMatchObject(outcome)
  })

  /** What the engine may have said after the write, or to another kind of instance. */
  const UNCLEAR = [
    'save-instances-4-send-on-server-1',
    'send-text-empty-text',
    'send-text-graph-error',
    'send-text-malformed-json',
    'wa-send-text-database-insert-fails',
  ]

  it('as recorded from a real one is clear, but for these', () => {
    const judged = [...exchanges.values()].flatMap(({ name, request, response: { status, body } }) => {
      if (!request.path.startsWith('/message/') || status === null) return []
      const { number } = (request.body ?? {}) as { number?: unknown }
      const group = typeof number === 'string' && number.endsWith('@g.us')
      return [{ name, status, kind: judgeAnswer({ status, body }, { group }).kind }]
    })
    expect(judged.length).toBeGreaterThan(100)
    expect(judged.filter(({ kind }) => kind === 'ambiguous').map(({ name }) => name)).toEqual(UNCLEAR)
    for (const { name, status, kind } of judged.filter(({ name }) => !UNCLEAR.includes(name)))
      expect([name, kind === 'sent']).toEqual([name, status === 201])
  })

  it('[object Object] is final for a group and unclear for a person', () => {
    expect(judgeAnswer(shaped(400, ['[object Object]']), { group: true })).toMatchObject({ kind: 'failed' })
    expect(judgeAnswer(shaped(400, ['[object Object]']), { group: false })).toMatchObject({ kind: 'ambiguous' })
  })

  it('that never comes is safe only where nothing was written', () => {
    expect(judgeSilence(new EngineUnreachable('ECONNREFUSED', false))).toMatchObject({ kind: 'wait' })
    expect(judgeSilence(new EngineUnreachable('UND_ERR_HEADERS_TIMEOUT', true))).toMatchObject({ kind: 'ambiguous' })
  })
})

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({
    env: { ENGINE_SEND_TIMEOUT_SECONDS: '5' },
    sandbox: { query_timeout_ms: 30, slow_ms: 1_500, hang_seconds: 6 },
  })
})
afterAll(() => app.stop())

describe('a send while the engine is in trouble', () => {
  it.each<[SendSituation, string]>([
    ['socket_ends_during_number_check', 'engine_error'],
    ['socket_ends_during_key_fetch', 'engine_error'],
    ['number_check_times_out', 'engine_error'],
    ['key_fetch_times_out', 'engine_error'],
    ['network_stalls', 'number_disconnected'],
    ['upload_fails', 'engine_error'],
  ])('%s: waits, is charged once and goes out once', async (situation, reason) => {
    const { phone, queue, becomes, queueState, tryAgain, timesSent, used } = await newSender(app)
    phone.controls.setTroubles({ send: situation }, phone.engine_name)
    const id = await queue(QUIET, situation)
    await eventually(async () => (await queueState()).blocked_reason === reason)
    expect(await queueState()).toMatchObject({ queued: 1, in_flight: null })
    phone.controls.clearTroubles(phone.engine_name)
    await tryAgain()
    await becomes(id, 'sent')
    expect([timesSent(QUIET, situation), await used()]).toEqual([1, 1])
  })

  it.each<[SendSituation]>([['device_list_times_out'], ['socket_ends_on_message']])(
    '%s: is sent, as the engine says',
    async (situation) => {
      const { phone, text, timesSent } = await newSender(app)
      phone.controls.setTroubles({ send: situation }, phone.engine_name)
      expect((await text(QUIET, situation)).body.message.status).toBe('sent')
      expect(timesSent(QUIET, situation)).toBe(1)
    },
  )

  it.each<[SendSituation]>([['row_not_stored'], ['timed_out']])(
    '%s: is unconfirmed and stays charged',
    async (situation) => {
      const { phone, text, used, engineCalls } = await newSender(app)
      phone.controls.setTroubles({ send: situation }, phone.engine_name)
      const answer = await text(QUIET, situation)
      expect([answer.status, answer.body.message.status, await used()]).toEqual([202, 'unconfirmed', 1])
      phone.controls.clearTroubles(phone.engine_name)
      await app.ctx.lanes.runDue()
      expect((await text(QUIET, 'next')).body.message.status).toBe('sent')
      expect(engineCalls()).toHaveLength(2)
    },
  )

  it.each([
    ['a wrong key', { wrong_key: true as const }],
    ['no licence', { licence_required: true as const }],
  ])('%s: waits for the operator', async (_what, trouble) => {
    const { phone, queue, queueState, tryAgain, becomes } = await newSender(app)
    phone.controls.setTroubles(trouble)
    const id = await queue(QUIET, 'patience')
    await eventually(async () => (await queueState()).blocked_reason === 'server_refused')
    phone.controls.clearTroubles()
    app.ctx.pool.names().forEach((name) => app.ctx.pool.breaker(name).close())
    await tryAgain()
    await becomes(id, 'sent')
  })

  it('five failures of the engine in a row end it, refunded once, and the lane goes on', async () => {
    const { text, queue, show, tryAgain, used, engineCalls, becomes } = await newSender(app)
    const id = await queue('628000000011', 'always fails')
    const behind = await queue(QUIET, 'behind')
    for (let calls = 1; calls < 5; calls++) {
      await eventually(async () => engineCalls().length >= calls && (await show(id)).status === 'queued')
      await tryAgain()
    }
    await becomes(id, 'failed')
    expect(await show(id)).toMatchObject({ status: 'failed', error: { code: 'engine_error' } })
    await becomes(behind, 'sent')
    expect(engineCalls().filter(({ body }) => body.text === 'always fails')).toHaveLength(5)
    expect(await used()).toBe(1)
    const repeated = await text(QUIET, 'still works')
    expect(repeated.status).toBe(200)
  })

  it('a recipient without WhatsApp and a group it is not in end it, refunded', async () => {
    const { text, used } = await newSender(app)
    expectRefusal(await text('628000000002', 'nobody'), 422, 'recipient_not_on_whatsapp')
    expectRefusal(await text('120363999999999999@g.us', 'strangers'), 422, 'recipient_not_on_whatsapp')
    expect(await used()).toBe(0)
  })
})

describe('a process that is declared dead', () => {
  const bury = async (id: number) => {
    await app.db.query(`update processes set heartbeat_at = now() - interval '1 minute' where id = $1`, [id])
    await app.ctx.membership.buryDead()
  }
  /** Again, where its own heartbeat came between. */
  const declareDead = async (id: number) => {
    const isListed = async () => (await app.db.query('select 1 from processes where id = $1', [id])).rowCount === 1
    do await bury(id)
    while (await isListed())
  }

  it('leaves its send unconfirmed, and its late outcome still tells the truth', async () => {
    const { user, phone, show, becomes, timesSent, text } = await newSender(app)
    const replica = await app.startReplica()
    const body = { token: phone.token, number: '628000000012', text: 'slow death' }
    const { id } = (await app.as(user, replica).post('/api/messages/send-text?wait=0', body)).body.message
    await becomes(id, 'sending')
    await declareDead(replica.context.membership.id)
    expect(await show(id)).toMatchObject({ status: 'unconfirmed', error: { code: 'process_died' } })
    expect((await text(QUIET, 'the lane is free')).status).toBe(200)
    await becomes(id, 'sent', 'delivered', 'read')
    expect(timesSent('628000000012', 'slow death')).toBe(1)
    await replica.close()
  })

  it('posts nothing any more of what was taken over, even when it comes back', async () => {
    const { user, phone, show, becomes, timesSent, lane, text } = await newSender(app)
    const replica = await app.startReplica()
    await lane(`ready_at = now() + interval '1.9 seconds', due_at = null`) // a claim is made two seconds ahead at most
    const body = { token: phone.token, number: QUIET, text: 'too late' }
    const { id } = (await app.as(user, replica).post('/api/messages/send-text?wait=0', body)).body.message
    const before = replica.context.membership.id
    await declareDead(before)
    await replica.context.membership.beat()
    expect(replica.context.membership.id).not.toBe(before)
    await becomes(id, 'unconfirmed')
    // The next one waits for the end of the same gap, so the other's turn is over when it has gone out.
    expect((await text(QUIET, 'in time')).body.message.status).toBe('sent')
    await replica.close()
    expect([timesSent(QUIET, 'too late'), (await show(id)).status]).toEqual([0, 'unconfirmed'])
  })

  it('does not bury itself after its database was away', async () => {
    const { queue, show, becomes } = await newSender(app)
    const id = await queue('628000000012', 'still here')
    await becomes(id, 'sending')
    await bury(app.ctx.membership.id)
    expect((await show(id)).status).toBe('sending')
    await becomes(id, 'sent', 'delivered', 'read')
  })

  it('loses what it claimed after its end to the undertaker', async () => {
    const { user, phone, queue, show, lane } = await newSender(app)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const id = await queue(QUIET, 'orphan')
    await app.db.query(`update messages set status = 'sending', attempts = 1, process_id = 999999 where id = $1`, [id])
    await lane(`in_flight = ${id}`)
    await app.ctx.membership.buryDead()
    expect(await show(id)).toMatchObject({ status: 'unconfirmed', error: { code: 'process_died' } })
  })
})

describe('a claim whose commit was never answered', () => {
  const claimUnheard = (id: number) =>
    app.db.query(
      `update messages set status = 'sending', attempts = attempts + 1, process_id = $2, starts_at = now(),
              updated_at = now() - interval '1 minute' where id = $1`,
      [id, app.ctx.membership.id],
    )

  it('goes back into its lane, and is sent once', async () => {
    const { user, phone, queue, lane, becomes, timesSent } = await newSender(app)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const id = await queue(QUIET, 'unheard')
    await claimUnheard(id)
    await lane(`in_flight = ${id}, paused = false`)
    expect(await app.ctx.lanes.recoverLost()).toBe(1)
    await becomes(id, 'sent')
    expect(timesSent(QUIET, 'unheard')).toBe(1)
  })

  it('is told from one that is under way', async () => {
    const { queue, becomes, timesSent } = await newSender(app)
    const id = await queue('628000000012', 'under way')
    await becomes(id, 'sending')
    await app.db.query(`update messages set updated_at = now() - interval '1 hour' where id = $1`, [id])
    expect(await app.ctx.lanes.recoverLost()).toBe(0)
    await becomes(id, 'sent', 'delivered', 'read')
    expect(timesSent('628000000012', 'under way')).toBe(1)
  })
})
