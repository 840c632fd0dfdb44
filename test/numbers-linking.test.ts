import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { UNLINKED_INSTANCE_MINUTES: '60' } })
  user = await app.createUser({ plan_type: 'enterprise' })
})
afterAll(() => app.stop())

const create = async (fields: object = {}) =>
  (await user.post('/api/phone-numbers/create', { display_name: 'Shop', ...fields })).body.phone_number
const statusOf = async (id: number) => (await user.get(`/api/phone-numbers/${id}/status`)).body.phone_number
const names = () => app.sandboxes.flatMap(({ controls }) => controls.instances().map(({ name }) => name))
const removeAll = async () => {
  await app.db.query('update instance_removals set due_at = now()')
  await app.crew.remover.runDue()
}

describe('a QR code', () => {
  it('is a picture for whoever asks for one', async () => {
    const { id } = await create()
    for (const call of [
      user.get(`/api/phone-numbers/${id}/qr.png`),
      user.get(`/api/phone-numbers/${id}/qr`).set('accept', 'image/png'),
      user.get(`/api/phone-numbers/${id}/qr`).set('accept', 'image/avif,image/webp,image/png,image/*'),
    ]) {
      const picture = await call
      expect([picture.status, picture.headers['content-type'], picture.headers['cache-control']]).toEqual([
        200,
        'image/png',
        'no-store',
      ])
      expect((picture.body as Buffer).subarray(1, 4).toString()).toBe('PNG')
    }
    expect((await user.get(`/api/phone-numbers/${id}/qr`)).type).toBe('application/json')
  })

  it('comes with the reason when there is none', async () => {
    const phone = await app.connectedNumber(user)
    const { body } = await user.get(`/api/phone-numbers/${phone.id}/qr`)
    expect(body.phone_number).toMatchObject({ qr_code: null, reason: 'already_connected', advice: expect.any(String) })
    const refused = await user.get(`/api/phone-numbers/${phone.id}/qr.png`)
    expectRefusal(refused, 409, 'conflict')
    expect(refused.body.error.details).toEqual({ reason: 'already_connected', status: 'connected' })
  })

  it('that never comes is said to be missing, and a new instance is tried after a minute', async () => {
    for (const { controls } of app.sandboxes) controls.setTroubles({ no_qr: true })
    const { id } = await create()
    const waiting = (await user.get(`/api/phone-numbers/${id}/qr?wait=0`)).body.phone_number
    expect(waiting).toMatchObject({ status: 'connecting', reason: 'being_made' })
    await app.db.query(`update phone_numbers set status_changed_at = now() - interval '2 minutes' where id = $1`, [id])
    for (const { controls } of app.sandboxes) controls.clearTroubles()
    const shown = (await user.get(`/api/phone-numbers/${id}/qr`)).body.phone_number
    expect(shown).toMatchObject({ status: 'qr_ready', qr_code: expect.stringMatching(/^data:image/) })
    await removeAll()
    const { instance_name } = await statusOf(id)
    await eventually(() =>
      expect(names().filter((name) => name.startsWith(instance_name))).toEqual([`${instance_name}_g2`]),
    )
  })
})

describe('while the engine gets no codes from WhatsApp', () => {
  const ask = async (id: number, path = 'qr?wait=0') =>
    (await user.get(`/api/phone-numbers/${id}/${path}`)).body.phone_number
  const instanceOf = async (id: number) =>
    (await app.db.query('select engine_generation from phone_numbers where id = $1', [id])).rows[0]!.engine_generation
  /** As if all that has happened to the number had happened so much earlier. */
  const letPass = (id: number, minutes: number) =>
    app.db.query(
      `update phone_numbers set status_changed_at = status_changed_at - make_interval(mins => $2),
                                codeless_since = codeless_since - make_interval(mins => $2) where id = $1`,
      [id, minutes],
    )

  it('who keeps asking gets a new instance after pauses that grow, and at once a code when there is one', async () => {
    for (const { controls } of app.sandboxes) controls.setTroubles({ no_qr: true })
    const { id } = await create()
    await ask(id)
    const isAnewAfter = async (minutes: number) => {
      await letPass(id, minutes)
      const before = await instanceOf(id)
      await ask(id)
      return (await instanceOf(id)) > before
    }
    const tries: boolean[] = []
    for (const minutes of [2, 1, 2, 4, 2, 10, 2, 14, 2, 14]) tries.push(await isAnewAfter(minutes))
    //                     without one for  2,    2 and 3,    5 and 6,    11 and 12,   and then 15 at most
    expect(tries).toEqual([true, false, true, false, true, false, true, false, true, false])
    expect(await ask(id)).toMatchObject({ qr_code: null, reason: 'engine_shows_none' })

    for (const { controls } of app.sandboxes) controls.clearTroubles()
    await letPass(id, 2)
    expect(await ask(id, 'qr')).toMatchObject({ status: 'qr_ready' })
    const { rows } = await app.db.query('select codeless_since from phone_numbers where id = $1', [id])
    expect(rows).toEqual([{ codeless_since: null }])
  })
})

describe('a pairing code', () => {
  it('links a phone by its number, given as people write it', async () => {
    const { id, instance_name } = await create()
    const path = `/api/phone-numbers/${id}/pairing-code`
    const { status, body } = await user.post(path, { phone_number: '0812-3456-7890' })
    expect([status, body.phone_number]).toEqual([
      200,
      {
        id,
        status: 'qr_ready',
        pairing_code: expect.stringMatching(/^[A-Z0-9]{8}$/),
        pairing_number: '6281234567890',
        expires_at: expect.any(String),
      },
    ])
    const again = await user.post(path, { phone_number: '+62 812 3456 7890' })
    expect(again.body.phone_number.pairing_code).toBe(body.phone_number.pairing_code)
    await removeAll()
    const [engine_name] = names().filter((name) => name.startsWith(instance_name))
    app.sandboxOf(engine_name!).controls.scan(engine_name!)
    await eventually(async () => (await statusOf(id)).status === 'connected')
    expectRefusal(await user.post(path, { phone_number: '081234567890' }), 409, 'conflict')
  })

  it.each([{}, { phone_number: '' }, { phone_number: 'abc' }, { phone_number: '12' }, { phone_number: '1@g.us' }])(
    'is refused for %j',
    async (body) => {
      const { id } = await create()
      expectRefusal(await user.post(`/api/phone-numbers/${id}/pairing-code`, body), 400, 'invalid_request')
      await user.delete(`/api/phone-numbers/${id}`)
    },
  )
})

describe('a number nobody links', () => {
  it('leaves the engine and comes back on demand with its id and token', async () => {
    const phone = await create()
    expect(await app.crew.reconciler.parkUnlinked()).toBe(0)
    await app.db.query(`update phone_numbers set link_asked_at = now() - interval '61 minutes' where id = $1`, [
      phone.id,
    ])
    expect(await app.crew.reconciler.parkUnlinked()).toBe(1)
    await removeAll()
    // The server's own remover may have been quicker, and be at it still.
    await eventually(() => expect(names().filter((name) => name.startsWith(phone.instance_name))).toEqual([]))
    expect(await statusOf(phone.id)).toMatchObject({ status: 'disconnected', status_reason: 'qr_expired' })

    const again = (await user.get(`/api/phone-numbers/${phone.id}/qr`)).body.phone_number
    expect(again).toMatchObject({ status: 'qr_ready', qr_code: expect.any(String) })
    const engine_name = `${phone.instance_name}_g2`
    app.sandboxOf(engine_name).controls.scan(engine_name)
    await eventually(async () => (await statusOf(phone.id)).status === 'connected')
    expect(await statusOf(phone.id)).toMatchObject({ token: phone.token, instance_name: phone.instance_name })
    await app.db.query(`update phone_numbers set link_asked_at = now() - interval '61 minutes' where id = $1`, [
      phone.id,
    ])
    expect(await app.crew.reconciler.parkUnlinked()).toBe(0)
  })

  it('is opened by one of many who ask at once for a parked one', async () => {
    const phone = await create()
    await app.ctx.changes.park(phone.id, 'qr_expired')
    const answers = await Promise.all(
      Array.from({ length: 6 }, async () => (await user.get(`/api/phone-numbers/${phone.id}/qr`)).body.phone_number),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill('qr_ready'))
    await removeAll()
    expect(names().filter((name) => name.startsWith(phone.instance_name))).toEqual([`${phone.instance_name}_g2`])
  })
})

describe('its owner can', () => {
  it('rename it, keep data with it, and choose groups, gap and webhook', async () => {
    const phone = await app.connectedNumber(user)
    const path = `/api/phone-numbers/${phone.id}`
    const change = { display_name: 'Sales', metadata: { a: 1 }, receive_groups: true, send_gap_seconds: 2.5 }
    const changed = await user.patch(path, { ...change, webhook_url: 'http://127.0.0.1:9/first' })
    expect(changed.status).toBe(200)
    expect(changed.body.phone_number).toMatchObject({
      display_name: 'Sales',
      metadata: { a: 1 },
      receive_groups: true,
      webhook_url: 'http://127.0.0.1:9/first',
      webhook_secret: expect.stringMatching(/^whsec_/),
    })
    const settings = phone.controls.requests({ path: `/settings/set/${phone.engine_name}` }).requests
    expect(settings.at(-1)!.body).toMatchObject({ groupsIgnore: false })
    expect((await statusOf(phone.id)).send_gap_seconds).toBe(2.5)

    const moved = await user.patch(path, { webhook_url: 'http://127.0.0.1:9/second', send_gap_seconds: null })
    expect(moved.body.phone_number).toMatchObject({ webhook_url: 'http://127.0.0.1:9/second', display_name: 'Sales' })
    expect(moved.body.phone_number).not.toHaveProperty('webhook_secret')
    expect((await user.patch(path, { webhook_url: null })).body.phone_number.webhook_url).toBeNull()
    expect((await user.get('/api/webhooks')).body.webhooks).toEqual([])
  })

  it.each([
    {},
    { display_name: '' },
    { send_gap_seconds: -1 },
    { send_gap_seconds: '' },
    { send_gap_seconds: true },
    { receive_groups: 'perhaps' },
    { webhook_url: 'http://10.0.0.1/' },
  ])('not change it with %j', async (body) => {
    const { id } = await create()
    expectRefusal(await user.patch(`/api/phone-numbers/${id}`, body), 400, 'invalid_request')
    expect((await statusOf(id)).display_name).toBe('Shop')
    await user.delete(`/api/phone-numbers/${id}`)
  })

  it('restart and reconnect it without another instance', async () => {
    const phone = await app.connectedNumber(user)
    const requests = (path: string) => phone.controls.requests({ path: `${path}/${phone.engine_name}` }).requests.length
    const before = requests('/instance/connect')
    expect((await user.post(`/api/phone-numbers/${phone.id}/restart`)).status).toBe(200)
    await eventually(() => Promise.resolve(phone.controls.instance(phone.engine_name).state === 'open'))
    const { body } = await user.post(`/api/phone-numbers/${phone.id}/reconnect`)
    expect(body.phone_number).toMatchObject({ status: 'connected', token: phone.token })
    expect([requests('/instance/restart'), requests('/instance/connect')]).toEqual([1, before])
    const { id } = await create()
    expectRefusal(await user.post(`/api/phone-numbers/${id}/restart`), 409, 'conflict')
  })

  it('log it out and link another phone under the same id and token, and read what happened', async () => {
    const phone = await app.connectedNumber(user)
    const { body } = await user.post(`/api/phone-numbers/${phone.id}/logout`)
    expect(body.phone_number).toMatchObject({ status: 'disconnected', status_reason: 'logged_out' })
    await removeAll()
    expect(names()).not.toContain(phone.engine_name)
    expect((await user.post(`/api/phone-numbers/${phone.id}/reconnect`)).body.phone_number.status).toBe('qr_ready')
    const engine_name = `${phone.instance_name}_g2`
    app.sandboxOf(engine_name).controls.scan(engine_name)
    await eventually(async () => (await statusOf(phone.id)).status === 'connected')

    const { history } = (await user.get(`/api/phone-numbers/${phone.id}/history`)).body
    const steps = history.map((step: { status: string; reason: string | null }) => [step.status, step.reason])
    expect(steps[0]).toEqual(['connected', null])
    expect(steps).toContainEqual(['disconnected', 'logged_out'])
    expect(steps.at(-1)).toEqual(['created', null])
    const status = await statusOf(phone.id)
    expect(status).toMatchObject({ advice: null, problem: null, server_available: true })
    expect(status.uptime.last_24_hours).toBeGreaterThan(0)
    const page = (await user.get(`/api/phone-numbers/${phone.id}/history?limit=2`)).body
    const rest = (await user.get(`/api/phone-numbers/${phone.id}/history?cursor=${page.next_cursor}`)).body
    expect([...page.history, ...rest.history]).toEqual(history)

    await app.db.query(
      `update status_changes set changed_at = now() - interval '100 days' + id * interval '1 second'
        where phone_number_id = $1`,
      [phone.id],
    )
    await app.crew.reconciler.prune()
    const kept = (await user.get(`/api/phone-numbers/${phone.id}/history`)).body.history
    expect(kept.map((step: { status: string }) => step.status)).toEqual(['connected'])
  })
})
