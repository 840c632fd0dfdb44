import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SandboxDatabase, startSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/server.js'
import { differences, exchanges, seriesDifferences, webhookRecordings, type WebhookEvent } from './recordings.js'

const SINK = 'http://127.0.0.1:8099'
const FILE_HOST = 'http://127.0.0.1:8090'

/** Right in both states of a reconnect loop. */
const FLIPPING = new Set([
  'create-baileys-qrcode-offline',
  'connection-state-baileys-offline',
  'wa-connection-state-whatsapp-unreachable',
])

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Two sandbox servers with one database and a receiver of webhooks, on which recordings are played again. */
export class Stage {
  one!: Sandbox
  two!: Sandbox
  private readonly database = SandboxDatabase.open()
  private readonly events: WebhookEvent[] = []
  /** What was said in the recording -> what takes its place here. */
  private readonly aliases = new Map<string, string>()
  private sink!: Server

  constructor(private readonly options: Partial<SandboxOptions>) {}

  async open(): Promise<void> {
    this.sink = createServer((req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        if (req.method === 'GET') return res.end(Buffer.from('a picture of no known kind'))
        const body = JSON.parse(Buffer.concat(chunks).toString()) as WebhookEvent['body']
        this.events.push({ path: req.url!, headers: req.headers as Record<string, string>, body })
        return res.writeHead(req.url === '/fail' ? 500 : 200).end()
      })
    })
    await new Promise<void>((resolve) => this.sink.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(this.sink.address() as AddressInfo).port}`
    this.aliases.set(SINK, url).set(FILE_HOST, url)
    this.one = await this.start('evolution_1')
    this.two = await this.start('evolution_2')
  }

  async close(): Promise<void> {
    await Promise.all([this.one.close(), this.two.close()])
    this.sink.closeAllConnections()
    await new Promise((resolve) => this.sink.close(resolve))
  }

  async restartServerOne(): Promise<void> {
    await this.one.close()
    this.one = await this.start('evolution_1')
  }

  alias(recorded: string, here: string): void {
    this.aliases.set(recorded, here)
  }

  here(recorded: string): string {
    return this.aliases.get(recorded) ?? recorded
  }

  /** A Baileys instance, made without a recording. */
  async create(name: string, more: Record<string, unknown> = {}, server = this.one): Promise<void> {
    const body = { instanceName: name, integration: 'WHATSAPP-BAILEYS', ...more }
    await this.ask(server.url, 'POST', '/instance/create', JSON.stringify(body))
  }

  /** …and connected to WhatsApp. */
  async link(name: string, phone = '5511911110002', server = this.one): Promise<void> {
    if (server.controls.instance(name).state === 'close') {
      await this.ask(server.url, 'GET', `/instance/connect/${name}`)
    }
    server.controls.scan(name, { phone, name: 'Loja' })
    await this.until(() => server.controls.instance(name).state === 'open')
  }

  async delete(name: string): Promise<void> {
    await this.ask(this.one.url, 'DELETE', `/instance/delete/${name}`)
  }

  async say(name: string, number: string, text: string): Promise<void> {
    await this.ask(this.one.url, 'POST', `/message/sendText/${name}`, JSON.stringify({ number, text }))
  }

  async until(holds: () => boolean): Promise<void> {
    for (let tries = 0; tries < 300 && !holds(); tries++) await sleep(10)
  }

  /** Waits until nothing more is posted, and forgets what was. */
  async quiet(): Promise<void> {
    for (let before = -1; before !== this.events.length; await sleep(45)) before = this.events.length
    this.events.length = 0
  }

  /** Plays the request of a recording and compares the answer, or compares the webhooks since the last look. */
  async check(name: string, anyOrder = false): Promise<string[]> {
    return webhookRecordings.has(name) ? this.checkWebhooks(name, anyOrder) : this.checkExchange(name)
  }

  private async checkExchange(name: string): Promise<string[]> {
    const { request, response } = exchanges.get(name)!
    const server = request.server === 'evolution_1' ? this.one : this.two
    const body = request.rawBody ?? (request.body === undefined ? undefined : JSON.stringify(request.body))
    const { method, path, apikey } = request
    const giveUp = response.status === null ? AbortSignal.timeout(150) : null
    const answered = this.ask(server.url, method, this.asHere(path), body && this.asHere(body), apikey ?? '', giveUp)
    if (giveUp)
      return answered.then(
        () => ['was answered'],
        () => [],
      )
    const actual = await answered
    const expected = JSON.parse(this.asHere(JSON.stringify(response.body))) as unknown
    this.learn(response.body, actual.body)
    if (actual.status !== response.status) return [`${actual.status} ${JSON.stringify(actual.body)}`]
    const bodies = FLIPPING.has(name) ? [expected, actual.body].map(withoutState) : [expected, actual.body]
    return differences(bodies[0], bodies[1], actual.status >= 400)
  }

  private async checkWebhooks(name: string, anyOrder: boolean): Promise<string[]> {
    const recorded = webhookRecordings.get(name)!.webhooks
    const expected = JSON.parse(this.asHere(JSON.stringify(recorded))) as WebhookEvent[]
    const readTold = expected.some((event) => isRead(event))
    const relevant = () => this.events.filter((event) => readTold || !isRead(event))
    await this.until(() => relevant().length >= expected.length)
    if (anyOrder) await sleep(80)
    const actual = relevant()
    this.events.length = 0
    recorded.forEach((event, index) => this.learn(event.body.data, actual[index]?.body.data))
    return seriesDifferences(expected, anyOrder ? actual : actual.slice(0, expected.length), anyOrder)
  }

  private async ask(
    url: string,
    method: string,
    path: string,
    body?: string,
    apikey = 'global-key-for-tests',
    signal: AbortSignal | null = null,
  ) {
    const headers = { ...(apikey && { apikey }), ...(body !== undefined && { 'content-type': 'application/json' }) }
    const response = await fetch(url + path, { method, headers, body: body ?? null, signal })
    return { status: response.status, body: (await response.json()) as unknown }
  }

  private start(name: string): Promise<Sandbox> {
    const fast = { connect_wait_ms: 60, ack_delay_ms: 15, query_timeout_ms: 150, media_retry_ms: 50 }
    return startSandbox({ name, api_key: 'global-key-for-tests', database: this.database, ...fast, ...this.options })
  }

  /** Later recordings name messages by the ids of earlier ones, and media by their place. */
  private learn(recorded: unknown, actual: unknown): void {
    for (const path of [
      ['key', 'id'],
      ['message', 'imageMessage', 'directPath'],
    ]) {
      const [was, is] = [recorded, actual].map((value) => path.reduce<unknown>(member, value))
      if (typeof was === 'string' && typeof is === 'string' && was !== is) this.alias(was, is)
    }
  }

  /** Where the channel makes no difference, what was recorded with EVOLUTION is asked of Baileys. */
  private asHere(text: string): string {
    let here = text.replaceAll('"integration":"EVOLUTION"', '"integration":"WHATSAPP-BAILEYS"')
    here = here.replaceAll('"accessTokenWaBusiness":"","status":"open"', '"accessTokenWaBusiness":"","status":"close"')
    // nobody has to wait as long as the recording did
    here = here.replaceAll('"delay":1200', '"delay":120')
    for (const [recorded, alias] of this.aliases) here = here.replaceAll(recorded, alias)
    return here
  }
}

const member = (value: unknown, name: string): unknown => (value as Record<string, unknown> | null | undefined)?.[name]

const isRead = (event: WebhookEvent): boolean => member(event.body.data, 'status') === 'READ'

const withoutState = (body: unknown): unknown =>
  JSON.parse(JSON.stringify(body).replaceAll(/"(state|status)":"(close|connecting)"/g, '"$1":"close or connecting"'))
