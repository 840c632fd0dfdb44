import { SandboxDatabase } from '../src/sandbox/server.js'
import { ask, SandboxProbe, sendText, until } from './support/sandbox-probe.js'

const probe = new SandboxProbe()
beforeAll(() => probe.open())
afterEach(() => probe.closeSandboxes())
afterAll(() => probe.close())

const BAILEYS = { integration: 'WHATSAPP-BAILEYS' }

describe('troubles of an instance', () => {
  it('no_qr: connecting for ever, count 0', async () => {
    const sandbox = await probe.start()
    sandbox.controls.setTroubles({ no_qr: true }, 'a')
    await probe.create(sandbox)
    expect((await ask(sandbox, 'GET', '/instance/connect/a')).body).toEqual({ count: 0 })
    expect(sandbox.controls.instance('a').state).toBe('connecting')
    expect(probe.count('qrcode.updated')).toBe(0)
  })

  it('qr_limit: one code, then the limit', async () => {
    const sandbox = await probe.start()
    sandbox.controls.setTroubles({ qr_limit: true })
    await probe.create(sandbox)
    await ask(sandbox, 'GET', '/instance/connect/a')
    await until(() => probe.events.some(({ data }) => data.state === 'refused'))
    expect(sandbox.controls.instance('a').state).toBe('close')
  })

  it('endless_connecting: goes on and on, and is well again after it', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    sandbox.controls.setTroubles({ endless_connecting: true })
    const connecting = () => probe.events.filter(({ data }) => data.state === 'connecting').length
    const before = connecting()
    await until(() => connecting() - before > 12)
    sandbox.controls.clearTroubles()
    await until(() => sandbox.controls.instance('a').state === 'open')
  })

  it('zombie: sends, but hears nothing until it is restarted', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    sandbox.controls.setTroubles({ zombie: 'until_restart' }, 'a')
    sandbox.controls.incoming('a', { chat: '6281', text: 'lost' })
    expect((await sendText(sandbox, '62811')).status).toBe(201)
    probe.events = []
    await ask(sandbox, 'POST', '/instance/restart/a')
    await until(() => probe.events.some(({ data }) => data.state === 'open'))
    sandbox.controls.incoming('a', { chat: '6281', text: 'heard' })
    await until(() => probe.count('messages.upsert') > 0)
    await probe.settled(sandbox)
    expect(probe.count('messages.upsert')).toBe(1)
  })

  it('connection_closed: looks open, nothing can be sent', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    await sendText(sandbox, '62811')
    sandbox.controls.setTroubles({ connection_closed: true }, 'a')
    expect((await sendText(sandbox, '62811')).status).toBe(400)
    expect((await sendText(sandbox, '62812')).status).toBe(500)
    expect((await ask(sandbox, 'GET', '/instance/connectionState/a')).body).toMatchObject({
      instance: { state: 'open' },
    })
    expect(sandbox.controls.ledger.total).toBe(1)
  })

  it('delete_lingers: the name stays in use until it ends', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    sandbox.controls.setTroubles({ delete_lingers: true }, 'a')
    expect((await ask(sandbox, 'DELETE', '/instance/delete/a')).status).toBe(200)
    await probe.create(sandbox, 'b')
    await ask(sandbox, 'DELETE', '/instance/delete/b')
    await until(() => sandbox.controls.instances().every(({ name }) => name !== 'b'))
    const again = { instanceName: 'a', ...BAILEYS }
    expect((await ask(sandbox, 'POST', '/instance/create', again)).status).toBe(403)
    sandbox.controls.clearTroubles()
    await until(() => sandbox.controls.instances().length === 0)
    expect((await ask(sandbox, 'POST', '/instance/create', again)).status).toBe(201)
  })
})

describe('troubles of a server', () => {
  it('create: slow, or done without an answer', async () => {
    const sandbox = await probe.start()
    sandbox.controls.setTroubles({ slow_create_ms: 100 })
    const order: string[] = []
    const slow = probe.create(sandbox, 'slow').then(() => order.push('slow'))
    await ask(sandbox, 'POST', '/verify-creds').then(() => order.push('other'))
    await slow
    expect(order).toEqual(['other', 'slow'])
    sandbox.controls.setTroubles({ create_times_out: true })
    const signal = AbortSignal.timeout(180)
    const body = JSON.stringify({ instanceName: 'silent', ...BAILEYS })
    const headers = { apikey: 'a-key', 'content-type': 'application/json' }
    await expect(fetch(`${sandbox.url}/instance/create`, { method: 'POST', body, headers, signal })).rejects.toThrow()
    await until(() => sandbox.controls.instances().length === 2)
    expect(sandbox.controls.instances().map(({ name }) => name)).toEqual(['slow', 'silent'])
  })

  it('wrong key, licence, refusal: told over HTTP, and the controls stay reachable', async () => {
    const sandbox = await probe.start()
    const say = (troubles: object) => ask(sandbox, 'POST', '/sandbox/troubles', troubles)
    const look = () => ask(sandbox, 'POST', '/verify-creds')
    await say({ wrong_key: true })
    expect((await look()).status).toBe(401)
    await ask(sandbox, 'DELETE', '/sandbox/troubles')
    await say({ licence_required: true })
    expect(await look()).toMatchObject({ status: 503, body: { code: 'LICENSE_REQUIRED' } })
    expect((await ask(sandbox, 'GET', '/license/status')).body).toMatchObject({ status: 'inactive' })
    await say({ refuse: '503' })
    expect((await look()).status).toBe(503)
    await say({ refuse: 'close' })
    await expect(look()).rejects.toThrow()
    await ask(sandbox, 'DELETE', '/sandbox/troubles')
    expect((await look()).status).toBe(200)
    expect((await ask(sandbox, 'GET', '/sandbox/ledger', undefined, 'wrong')).status).toBe(401)
    expect((await say({ no_such: true })).status).toBe(400)
  })

  it('two servers of one name throw each other out for ever', async () => {
    const database = SandboxDatabase.open()
    const one = await probe.start({ database })
    await probe.link(one)
    const two = await probe.start({ database })
    probe.events = []
    await until(() => probe.count('connection.update') > 8)
    expect(two.controls.instances()).toHaveLength(1)
  })
})
