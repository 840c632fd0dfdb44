import { createHash } from 'node:crypto'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { SEND_GAP_SECONDS: '3600', ADMIN_API_KEY: ADMIN_KEY } })
  sink = await WebhookSink.start()
})
beforeEach(async () => {
  user = await app.createUser()
})
afterEach(() => (app.ctx.clock.now = () => new Date()))
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

const leave = (password = user.password) => user.delete('/api/user').send({ password })
const send = (token: string, text: string) =>
  user.post('/api/messages/send-text?wait=0', { token, number: '628000000003', text })
const instances = () => app.sandboxes.flatMap(({ controls }) => controls.instances().map(({ name }) => name))
const laterBy = (seconds: number) => (app.ctx.clock.now = () => new Date(Date.now() + seconds * 1000))

describe('an export', () => {
  it('holds everything of its user, page after page, and nothing of others or secret', async () => {
    const phone = await app.connectedNumber(user, { webhook_url: sink.url, metadata: { customer: 17 } })
    await send(phone.token, 'The very words')
    await app.db.query(
      `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status)
       select $1, $2, 'incoming', 'contact', 'text', '628000000005', '{"text":"old"}', 'received' from generate_series(1, 1200)`,
      [user.id, phone.id],
    )
    const other = await app.createUser()
    await other.post('/api/phone-numbers/create', { display_name: 'Foreign words' })
    await app.ctx.requestLog.flush()

    const answer = await user.get('/api/user/export')
    expect(answer.headers['content-disposition']).toContain('whatsapp-saas-api-export.json')
    const data = JSON.parse(answer.text)
    expect(Object.keys(data as object)).toEqual([
      ...[
        'success',
        'exported_at',
        'user',
        'api_keys',
        'phone_numbers',
        'webhooks',
        'usage',
        'statistics',
        'messages',
        'events',
      ],
      'requests',
    ])
    expect(data.user).toMatchObject({ id: user.id, email: user.email })
    expect(data.phone_numbers).toMatchObject([{ id: phone.id, metadata: { customer: 17 } }])
    expect(data.messages).toHaveLength(1201)
    expect(data.messages[0]).toMatchObject({ content: { text: 'The very words' } })
    expect(data.webhooks).toMatchObject([{ url: sink.url }])
    expect(data.events.length).toBeGreaterThan(0)
    expect(data.requests.length).toBeGreaterThan(0)
    const hash = createHash('sha256').update(user.api_key).digest()
    const hidden = [phone.token, phone.webhook_secret!, user.api_key, hash.toString('hex'), hash.toString('base64')]
    for (const secret of [...hidden, 'Foreign words', 'password_hash']) expect(answer.text).not.toContain(secret)
  })

  it('is made once at a time', async () => {
    app.ctx.userExport.open({ id: user.id } as never)
    expectRefusal(await user.get('/api/user/export'), 409, 'conflict')
    const other = await app.createUser()
    expect((await other.get('/api/user/export')).status).toBe(200)
    expect((await other.get('/api/user/export')).status).toBe(200)
  })
})

describe('a user who leaves', () => {
  it('needs the password', async () => {
    expectRefusal(await leave('not the password'), 401, 'unauthorized')
    expectRefusal(await user.delete('/api/user'), 400, 'invalid_request')
    expect((await user.get('/api/user/profile')).status).toBe(200)
  })

  it('is nobody at once: keys and access tokens end, the e-mail address is free, webhooks fall silent', async () => {
    const { body } = await app.api.post('/api/auth/login').send({ email: user.email, password: user.password })
    expect((await user.get('/api/user/profile')).status).toBe(200) // cached
    await user.post('/api/webhooks', { url: sink.url })
    expect((await leave()).status).toBe(200)
    expectRefusal(await user.get('/api/user/profile'), 401, 'unauthorized')
    const bearer = { authorization: `Bearer ${body.access_token}` }
    expectRefusal(await app.api.get('/api/user/profile').set(bearer), 401, 'unauthorized')
    const credentials = { email: user.email, password: user.password }
    expectRefusal(await app.api.post('/api/auth/login').send(credentials), 401, 'unauthorized')
    const { rows } = await app.db.query('select enabled, deleted_at from webhooks where user_id = $1', [user.id])
    expect(rows).toEqual([{ enabled: false, deleted_at: expect.any(Date) }])
    const again = await app.api.post('/api/auth/register').send(credentials)
    expect(again.status).toBe(201)
    expect(again.body.user.id).not.toBe(user.id)
  })

  it('leaves nothing: no instance, no queue, no row', async () => {
    const phone = await app.connectedNumber(user, { webhook_url: sink.url })
    await user.post('/api/messages/send-text', { token: phone.token, number: '628000000003', text: 'First' })
    await send(phone.token, 'Waits for the gap')
    const { body } = await send(phone.token, 'Waits behind it')
    await app.ctx.requestLog.flush()
    const ofPhone = async (table: string) =>
      (await app.db.query(`select 1 from ${table} where phone_number_id = $1`, [phone.id])).rowCount
    await eventually(async () => (await ofPhone('webhook_logs')) !== 0)
    await leave()
    await app.ctx.userDeletion.runOnce()
    await app.crew.remover.runDue()
    expect(instances()).not.toContain(phone.engine_name)
    const { rows } = await app.db.query('select status from messages where id = $1', [body.message.id])
    expect(rows).toEqual([{ status: 'canceled' }])

    laterBy(200)
    await app.ctx.userDeletion.runOnce()
    for (const table of [
      'users',
      'api_keys',
      'phone_numbers',
      'messages',
      'events',
      'webhooks',
      'daily_usage',
      'feeds',
      'api_requests',
    ])
      expect([table, await rowsOf(table)]).toEqual([table, 0])
    for (const table of ['deliveries', 'webhook_logs']) expect([table, await ofPhone(table)]).toEqual([table, 0])
    expect(
      (await app.db.query(`select 1 from unprocessed_events where engine_name like 'user_${user.id}_%'`)).rowCount,
    ).toBe(0)
  })

  it('is unlinked in the next round, however many left before, and nothing of theirs goes out meanwhile', async () => {
    await app.db.query(
      `insert into users (email, password_hash, api_key, plan_type, time_zone, max_phone_numbers, max_messages_per_day,
                          status, deleted_at)
       select 'deleted-x' || n || '@invalid', '', '', 'starter', 'Asia/Jakarta', 3, 10, 'suspended', now()
         from generate_series(1, 10) n`,
    )
    const phone = await app.connectedNumber(user)
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const { body } = await send(phone.token, 'Was not out yet')
    await leave()
    const { rows } = await app.db.query('select paused, held_reason from lanes where phone_number_id = $1', [phone.id])
    expect(rows).toEqual([{ paused: true, held_reason: 'user_suspended' }])
    await app.ctx.userDeletion.runOnce()
    const ended = await app.db.query(
      'select p.deleted_at, m.status from phone_numbers p, messages m where m.id = $1 and p.id = $2',
      [body.message.id, phone.id],
    )
    expect(ended.rows).toEqual([{ deleted_at: expect.any(Date), status: 'canceled' }])
  })

  it('is forgotten only when every number has left the engine', async () => {
    const phone = await app.connectedNumber(user)
    await app.db.query(
      `with parked as (
         insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, status, parked_at)
         select $1, 'sandbox-1', 'user_' || $1::bigint || '_1_' || n, 'wst_' || $1::bigint || '_' || n, 'n',
                'disconnected', now() from generate_series(1, 110) n
         returning id)
       insert into lanes (phone_number_id) select id from parked`,
      [user.id],
    )
    await leave()
    laterBy(200)
    for (let round = 0; round < 3; round++) await app.ctx.userDeletion.runOnce()
    await app.crew.remover.runDue()
    expect([instances().includes(phone.engine_name), await rowsOf('users')]).toEqual([false, 0])
  })

  it('leaves no answer about a contact, and no name in the log of the operator', async () => {
    const phone = await app.connectedNumber(user)
    await user.post('/api/contacts/check', { token: phone.token, numbers: ['628123450001'] })
    const admin = operatorOf(app.url)
    await admin.post('/users', { email: user.email, full_name: 'Siti' }) // refused, and noted
    await admin.patch(`/users/${user.id}`, { full_name: 'Siti', max_phone_numbers: 3 })
    await leave()
    laterBy(200)
    for (let round = 0; round < 2; round++) await app.ctx.userDeletion.runOnce()
    const { rows } = await app.db.query('select details from audit_log order by id')
    expect(rows.map(({ details }) => details as unknown)).toEqual([{}, { max_phone_numbers: 3 }])
    expect((await app.db.query(`select 1 from contact_checks where recipient = '628123450001'`)).rowCount).toBe(0)
  })

  it('takes nothing of others along', async () => {
    const other = await app.createUser()
    const phone = await app.connectedNumber(other)
    await other.post('/api/messages/send-text', { token: phone.token, number: '628000000001', text: 'Stays' })
    await app.engineSays(phone.engine_name, '{"event":"broken"')
    await app.db.query(`insert into early_receipts values ($1, 'EARLY', 'read')`, [phone.id])
    await app.ctx.requestLog.flush()
    const kept = async () => {
      const { rows } = await app.db.query(
        `select (select count(*) from events where user_id = $1) as events,
                (select count(*) from api_requests where user_id = $1) as requests,
                (select count(*) from early_receipts where phone_number_id = $2) as receipts,
                (select count(*) from unprocessed_events where engine_name = $3) as unprocessed`,
        [other.id, phone.id, phone.engine_name],
      )
      return Object.values(rows[0]!)
    }
    expect(await kept()).not.toContain(0)
    await leave()
    laterBy(200)
    await app.ctx.userDeletion.runOnce()
    expect(await kept()).not.toContain(0)
    expect((await other.get('/api/messages')).body.messages).not.toEqual([])
    expect(instances()).toContain(phone.engine_name)
  })
})

async function rowsOf(table: string) {
  const column = table === 'users' ? 'id' : 'user_id'
  return (await app.db.query(`select 1 from ${table} where ${column} = $1`, [user.id])).rowCount
}

describe('a user who leaves', () => {
  it('takes nothing along of one whose id only begins the same', async () => {
    const { rows } = await app.db.query<{ id: number }>(
      `insert into unprocessed_events (engine_name, reason, size, body)
       select 'user_' || $1::bigint || n || '_1700000000000_abcd_g1', 'of another', 1, '' from generate_series(0, 9) n returning id`,
      [user.id],
    )
    await leave()
    laterBy(200)
    await app.ctx.userDeletion.runOnce()
    const kept = await app.db.query('select 1 from unprocessed_events where id = any($1::bigint[])', [
      rows.map(({ id }) => id),
    ])
    expect(kept.rowCount).toBe(10)
  })

  it('whose deletion was broken off at once sends nothing until the numbers are gone', async () => {
    const phone = await app.connectedNumber(user)
    await app.db.query(`update users set deleted_at = now(), status = 'suspended' where id = $1`, [user.id])
    let round: Promise<void> | undefined
    await app.db.transaction(async (tx) => {
      // The deletion of the number waits here; its lane is held by then.
      await tx.query('select 1 from phone_numbers where id = $1 for update', [phone.id])
      round = app.ctx.userDeletion.runOnce()
      const held = 'select 1 from lanes where phone_number_id = $1 and held_reason is not null'
      await eventually(async () => (await app.db.query(held, [phone.id])).rowCount === 1)
    })
    await round
  })
})
