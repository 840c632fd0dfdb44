import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/server.js'

export interface Event {
  event: string
  instance: string
  apikey: string
  data: {
    status?: string
    state?: string
    keyId?: string
    key?: { id: string; remoteJid: string; remoteJidAlt?: string }
  }
}

const KEY = 'a-key'
const FAST = { api_key: KEY, connect_wait_ms: 40, ack_delay_ms: 10, slow_ms: 60, hang_seconds: 0.2 }

export async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 300 && !holds(); tries++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(holds()).toBe(true)
}

/** Sandboxes for a test, with a receiver of their webhooks. */
export class SandboxProbe {
  events: Event[] = []
  private readonly sandboxes: Sandbox[] = []
  private readonly sink: Server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      this.events.push(JSON.parse(Buffer.concat(chunks).toString()) as Event)
      res.end()
    })
  })

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.sink.listen(0, '127.0.0.1', resolve))
  }

  async close(): Promise<void> {
    await this.closeSandboxes()
    this.sink.closeAllConnections()
    await new Promise((resolve) => this.sink.close(resolve))
  }

  async closeSandboxes(): Promise<void> {
    await Promise.all(this.sandboxes.splice(0).map((sandbox) => sandbox.close()))
    this.events = []
  }

  get hook(): string {
    return `http://127.0.0.1:${(this.sink.address() as AddressInfo).port}/hook`
  }

  async start(options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
    const sandbox = await startSandbox({ name: 'sandbox-1', ...FAST, ...options })
    this.sandboxes.push(sandbox)
    return sandbox
  }

  /** A created instance that tells every event but remove.instance. */
  async create(sandbox: Sandbox, name = 'a'): Promise<void> {
    const events = `QRCODE_UPDATED CONNECTION_UPDATE STATUS_INSTANCE MESSAGES_UPSERT MESSAGES_UPDATE MESSAGES_EDITED
      MESSAGES_DELETE SEND_MESSAGE LOGOUT_INSTANCE`
    const webhook = { url: this.hook, events: events.split(/\s+/) }
    await ask(sandbox, 'POST', '/instance/create', { instanceName: name, integration: 'WHATSAPP-BAILEYS', webhook })
  }

  async link(sandbox: Sandbox, name = 'a'): Promise<void> {
    await this.create(sandbox, name)
    await ask(sandbox, 'GET', `/instance/connect/${name}`)
    sandbox.controls.scan(name)
    await until(() => sandbox.controls.instance(name).state === 'open')
  }

  /** What had to be told before has been told when a message that is sent now has been read; of that nothing is kept. */
  async settled(sandbox: Sandbox): Promise<void> {
    const { key } = (await sendText(sandbox, '628990000001', 'settled')).body as { key: { id: string } }
    const isOfIt = ({ data }: Event) => data.keyId === key.id || data.key?.id === key.id
    await until(() => this.events.some((event) => isOfIt(event) && event.data.status === 'READ'))
    this.events = this.events.filter((event) => !isOfIt(event))
  }

  count(event: string): number {
    return this.events.filter((seen) => seen.event === event).length
  }

  statuses(): (string | undefined)[] {
    return this.events.filter(({ event }) => event === 'messages.update').map(({ data }) => data.status)
  }
}

export async function ask(sandbox: Sandbox, method: string, path: string, body?: unknown, apikey = KEY) {
  const response = await fetch(sandbox.url + path, {
    method,
    headers: { apikey, 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return { status: response.status, body: isJson ? (JSON.parse(text) as unknown) : text }
}

export const sendText = (sandbox: Sandbox, number: string, text = 'hello', name = 'a') =>
  ask(sandbox, 'POST', `/message/sendText/${name}`, { number, text })
