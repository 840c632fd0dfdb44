import axios, { type AxiosInstance } from 'axios'
import { Pool, buildConnector } from 'undici'
import { Breaker } from './breaker.js'
import { Exchange } from './exchange.js'

/** An HTTP answer of the engine, whatever its status. */
export interface EngineAnswer {
  status: number
  body: unknown
}

/** The engine gave no answer; `written` tells whether it may have received the request. */
export class EngineUnreachable extends Error {
  override name = 'EngineUnreachable'

  constructor(
    readonly code: string,
    readonly written: boolean,
  ) {
    super(`The engine gave no answer (${code}).`)
  }
}

/** A row of findMessages, as far as it is read. */
export interface FoundMessage {
  key: { id: string; remoteJid: string; remoteJidAlt?: string; fromMe: boolean; participant?: string }
  messageType: string
  message: Record<string, unknown>
  /** Seconds; like every 64-bit number it may come as `{ low, high, unsigned }`. */
  messageTimestamp: unknown
  pushName?: string | null
  source?: string
  contextInfo?: unknown
  MessageUpdate?: { status: string }[]
}

const PAGE_SIZE = 200
const MAX_PAGES = 50

export interface EngineWebhook {
  url: string
  headers: Record<string, string>
}

/** The events a gateway needs; REMOVE_INSTANCE is left out because a delete would wait for its delivery. */
export const WEBHOOK_EVENTS = [
  'QRCODE_UPDATED',
  'CONNECTION_UPDATE',
  'MESSAGES_UPSERT',
  'MESSAGES_UPDATE',
  'MESSAGES_EDITED',
  'MESSAGES_DELETE',
  'SEND_MESSAGE',
  'STATUS_INSTANCE',
  'LOGOUT_INSTANCE',
]

const NEVER_WRITTEN =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|UND_ERR_CONNECT_TIMEOUT|ERR_INVALID_URL)$/

/** Errors of connections that never came about, whatever their code: a certificate that has expired has many. */
const unconnected = new WeakSet<object>()

function connector(timeout: number): buildConnector.connector {
  const connect = buildConnector({ timeout })
  return (options, callback) =>
    connect(options, (...result) => {
      if (result[0]) unconnected.add(result[0])
      callback(...result)
    })
}

/**
 * One Evolution server. Control calls go through axios; sends, the hot path, through undici (docs/adr/0005).
 * Answers are returned whatever their status; only a missing answer throws, as EngineUnreachable.
 */
export class EvolutionClient {
  private readonly control: AxiosInstance
  private readonly sends: Pool

  constructor(
    readonly name: string,
    readonly url: string,
    private readonly options: { api_key: string; send_timeout_seconds: number; control_timeout_seconds?: number },
    private readonly breaker = new Breaker(),
  ) {
    this.control = axios.create({
      baseURL: url,
      headers: { apikey: options.api_key },
      timeout: (options.control_timeout_seconds ?? 30) * 1000,
      validateStatus: () => true,
      maxRedirects: 0,
      proxy: false,
      maxContentLength: 100 * 1024 * 1024,
    })
    this.sends = new Pool(url, {
      connections: 64,
      connect: connector(5_000),
      // Evolution closes an idle connection after 5 s; a request written into that moment would be ambiguous.
      keepAliveTimeout: 3_000,
      keepAliveMaxTimeout: 3_000,
      headersTimeout: options.send_timeout_seconds * 1000,
      bodyTimeout: 30_000,
    })
  }

  createInstance(engineName: string, webhook: EngineWebhook, settings: { receive_groups: boolean }) {
    return this.call('POST', '/instance/create', {
      instanceName: engineName,
      integration: 'WHATSAPP-BAILEYS',
      qrcode: false,
      groupsIgnore: !settings.receive_groups,
      rejectCall: false,
      alwaysOnline: false,
      readMessages: false,
      readStatus: false,
      syncFullHistory: false,
      webhook: { ...webhook, byEvents: false, base64: false, events: WEBHOOK_EVENTS },
    })
  }

  /** Opens a socket: once per wish of the user, never to poll. */
  connect(engineName: string, phoneNumber?: string) {
    return this.call(
      'GET',
      path('/instance/connect', engineName),
      undefined,
      phoneNumber ? { number: phoneNumber } : {},
    )
  }

  connectionState(engineName: string, timeoutMs = 10_000) {
    return this.call('GET', path('/instance/connectionState', engineName), undefined, undefined, timeoutMs)
  }

  setWebhook(engineName: string, webhook: EngineWebhook & { enabled: boolean }) {
    return this.call('POST', path('/webhook/set', engineName), {
      webhook: { ...webhook, byEvents: false, base64: false, events: webhook.enabled ? WEBHOOK_EVENTS : [] },
    })
  }

  findWebhook(engineName: string) {
    return this.call('GET', path('/webhook/find', engineName))
  }

  /** The engine wants all of them at once; only groups are ours to choose. */
  setSettings(engineName: string, { receive_groups }: { receive_groups: boolean }) {
    return this.call('POST', path('/settings/set', engineName), {
      groupsIgnore: !receive_groups,
      rejectCall: false,
      alwaysOnline: false,
      readMessages: false,
      readStatus: false,
      syncFullHistory: false,
    })
  }

  /** Closes the socket of an open or connecting instance and opens it again; the session stays. */
  restart(engineName: string) {
    return this.call('POST', path('/instance/restart', engineName))
  }

  deleteInstance(engineName: string) {
    return this.call('DELETE', path('/instance/delete', engineName))
  }

  /** Expensive for the engine, which counts messages: not for polling. */
  fetchInstances() {
    return this.call('GET', '/instance/fetchInstances')
  }

  /** What it is and which version; the engine asks the internet before it answers. */
  greeting(timeoutMs = 10_000) {
    return this.call('GET', '/', undefined, undefined, timeoutMs)
  }

  /** Version 2.4 must be activated; older ones do not know the route. */
  licence(timeoutMs = 5_000) {
    return this.call('GET', '/license/status', undefined, undefined, timeoutMs)
  }

  /** As connectionState, over the cheap client: thousands of numbers are looked at all the time. */
  async probe(engineName: string): Promise<EngineAnswer> {
    try {
      const { status, text } = await new Exchange(this.sends, {
        method: 'GET',
        path: path('/instance/connectionState', engineName),
        headers: { apikey: this.options.api_key, accept: 'application/json' },
        headersTimeout: 10_000,
        bodyTimeout: 10_000,
      }).answer
      return { status, body: parse(text) }
    } catch (err) {
      throw unreachable(err)
    }
  }

  verifyKey(timeoutMs = 5_000) {
    return this.call('POST', '/verify-creds', {}, undefined, timeoutMs)
  }

  /** Stored messages of a window of time; the engine ignores a filter that is not exactly as it expects. */
  async findMessages(
    engineName: string,
    { from, to, from_me }: { from: Date; to: Date; from_me: boolean },
  ): Promise<FoundMessage[]> {
    const where = {
      ...(from_me ? { key: { fromMe: true } } : {}), // `false` would be ignored
      messageTimestamp: { gte: from.toISOString(), lte: to.toISOString() },
    }
    const found: FoundMessage[] = []
    for (let page = 1; page <= MAX_PAGES; page++) {
      // `offset` is the size of a page, and there must be no `limit`.
      const answer = await this.call('POST', path('/chat/findMessages', engineName), { where, page, offset: PAGE_SIZE })
      const { messages } = answer.body as { messages?: { pages: number; records: FoundMessage[] } }
      if (answer.status !== 200 || !messages) throw new Error(`findMessages answered ${answer.status}`)
      found.push(...messages.records.filter((record) => record.key.fromMe === from_me))
      if (page >= messages.pages) break
    }
    return found
  }

  /** One page of the stored messages of a window of time, newest first, and how many pages there are. */
  async findMessagePage(
    engineName: string,
    { from, to }: { from: Date; to: Date },
    page: number,
  ): Promise<{ pages: number; records: unknown[] }> {
    const where = { messageTimestamp: { gte: from.toISOString(), lte: to.toISOString() } }
    const answer = await this.call('POST', path('/chat/findMessages', engineName), { where, page, offset: PAGE_SIZE })
    const { messages } = (answer.body ?? {}) as { messages?: { pages: number; records: unknown[] } }
    if (answer.status !== 200 || !messages) throw new Error(`findMessages answered ${answer.status}`)
    return { pages: messages.pages, records: messages.records }
  }

  /** Which numbers are on WhatsApp; the order of the answer is not the order asked. */
  checkNumbers(engineName: string, numbers: string[]) {
    return this.call('POST', path('/chat/whatsappNumbers', engineName), { numbers }, undefined, 75_000)
  }

  /** The file of a stored message, as base64 in JSON: large. */
  fetchMedia(engineName: string, whatsappId: string) {
    return this.call('POST', path('/chat/getBase64FromMediaMessage', engineName), {
      message: { key: { id: whatsappId } },
    })
  }

  /** Sends through one route of /message; the answer may take as long as `send_timeout_seconds`. */
  async send(route: string, engineName: string, body: Record<string, unknown>): Promise<EngineAnswer> {
    if (this.breaker.isOpen) throw new EngineUnreachable('BREAKER_OPEN', false)
    try {
      const { status, text } = await new Exchange(this.sends, {
        method: 'POST',
        path: path(`/message/${route}`, engineName),
        headers: { apikey: this.options.api_key, 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify(body),
      }).answer
      if (isGateways(status)) this.breaker.missed()
      else this.breaker.reached()
      return { status, body: parse(text) }
    } catch (err) {
      const failure = unreachable(err)
      if (!failure.written) this.breaker.missed()
      throw failure
    }
  }

  async close(): Promise<void> {
    await this.sends.destroy()
  }

  private async call(
    method: string,
    route: string,
    data?: unknown,
    params?: Record<string, string>,
    timeout?: number,
  ): Promise<EngineAnswer> {
    try {
      const response = await this.control.request<unknown>({ method, url: route, data, params, timeout })
      return { status: response.status, body: response.data }
    } catch (err) {
      throw unreachable(err)
    }
  }
}

/** What a proxy says for an engine that it cannot reach; Evolution itself has no such status. */
export const isGateways = (status: number): boolean => status >= 502 && status <= 504

const path = (route: string, engineName: string) => `${route}/${encodeURIComponent(engineName)}`

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function unreachable(err: unknown): EngineUnreachable {
  const thrown = typeof err === 'object' && err !== null ? err : {}
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'UNKNOWN'
  return new EngineUnreachable(code, !unconnected.has(thrown) && !NEVER_WRITTEN.test(code))
}
