import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSandbox } from '../src/sandbox/server.js'
import { ask, SandboxProbe, sendText, until } from './support/sandbox-probe.js'

const probe = new SandboxProbe()
let data_dir: string
beforeAll(() => probe.open())
beforeEach(() => {
  data_dir = mkdtempSync(join(tmpdir(), 'sandbox-'))
})
afterEach(async () => {
  await probe.closeSandboxes()
  rmSync(data_dir, { recursive: true })
})
afterAll(() => probe.close())

describe('a restart', () => {
  it('brings back instances, rows and the ledger, after a torn last line too', async () => {
    const first = await probe.start({ data_dir })
    await probe.link(first)
    await probe.create(first, 'unpaired')
    await sendText(first, '62811', 'kept')
    await until(() => probe.statuses().length === 2)
    await first.close()
    appendFileSync(join(data_dir, 'sandbox.jsonl'), '{"t":"sent","sent":{"at":"2026')

    const second = await probe.start({ data_dir })
    probe.events = []
    await until(() => second.controls.instance('a').state === 'open')
    await until(() => second.controls.instance('unpaired').qr_count === 1)
    const updates = () =>
      probe.events.filter(({ event, instance }) => event === 'connection.update' && instance === 'a')
    await until(() => updates().length === 2)
    expect(updates().map(({ data }) => data.state)).toEqual(['connecting', 'open'])
    expect(second.controls.ledger.count('a', '62811', 'kept')).toBe(1)
    const found = await ask(second, 'POST', '/chat/findMessages/a', {})
    expect(found.body).toMatchObject({ messages: { records: [{ MessageUpdate: [{}, {}] }] } })
    expect((await sendText(second, '62811', 'again')).status).toBe(201)
    await second.close()
    const third = await probe.start({ data_dir })
    expect(third.controls.ledger.total).toBe(2)
  })

  it('reports afterwards what was still owed', async () => {
    const first = await probe.start({ data_dir, ack_delay_ms: 60_000 })
    await probe.link(first)
    await sendText(first, '62811')
    await first.close()
    await probe.start({ data_dir })
    await until(() => probe.statuses().length === 2)
  })

  it('hands over what came while the instance was offline', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    sandbox.controls.disconnect('a', 428)
    sandbox.controls.incoming('a', { chat: '6281', text: 'while away' })
    expect(probe.count('messages.upsert')).toBe(0)
    await until(() => probe.count('messages.upsert') === 1)
  })
})

describe('starting', () => {
  it('says in one sentence that the port is taken', async () => {
    const sandbox = await probe.start()
    const again = startSandbox({ name: 'b', api_key: 'k', port: sandbox.port })
    await expect(again).rejects.toThrow(`Port ${sandbox.port} on 127.0.0.1 is already in use`)
  })

  it('scans its own QR code when told to', async () => {
    const sandbox = await probe.start({ scan_after_seconds: 0.05 })
    await probe.create(sandbox)
    await ask(sandbox, 'GET', '/instance/connect/a')
    await until(() => /^62899\d{8}@s\.whatsapp\.net$/.test(sandbox.controls.instance('a').owner_jid ?? ''))
  })
})
