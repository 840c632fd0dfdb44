import { Breaker } from './breaker.js'
import { type EngineAnswer, EngineHttp, type EngineOptions, EngineUnreachable, isGateways } from './engine-http.js'

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

/** Both ends belong to it. */
interface Window {
  from: Date
  to: Date
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

/** One Evolution server and the calls it is asked for. Only a missing answer throws, as EngineUnreachable. */
export class EvolutionClient {
  private readonly http: EngineHttp

  constructor(
    readonly name: string,
    readonly url: string,
    options: EngineOptions,
    private readonly breaker = new Breaker(),
  ) {
    this.http = new EngineHttp(url, options)
  }

  createInstance(engineName: string, webhook: EngineWebhook, settings: { receive_groups: boolean }) {
    const data = {
      instanceName: engineName,
      integration: 'WHATSAPP-BAILEYS',
      qrcode: false,
      ...settingsOf(settings),
      webhook: { ...webhook, byEvents: false, base64: false, events: WEBHOOK_EVENTS },
    }
    return this.http.call('POST', '/instance/create', { data })
  }

  /** Opens a socket: once per wish of the user, never to poll. */
  connect(engineName: string, phoneNumber?: string) {
    const params = phoneNumber ? { number: phoneNumber } : undefined
    return this.http.call('GET', path('/instance/connect', engineName), { params })
  }

  connectionState(engineName: string, timeout_ms = 10_000) {
    return this.http.call('GET', path('/instance/connectionState', engineName), { timeout_ms })
  }

  /** As connectionState, over the cheap client: thousands of numbers are looked at all the time. */
  probe(engineName: string): Promise<EngineAnswer> {
    return this.http.probe(path('/instance/connectionState', engineName), 10_000)
  }

  setWebhook(engineName: string, webhook: EngineWebhook & { enabled: boolean }) {
    const events = webhook.enabled ? WEBHOOK_EVENTS : []
    const data = { webhook: { ...webhook, byEvents: false, base64: false, events } }
    return this.http.call('POST', path('/webhook/set', engineName), { data })
  }

  findWebhook(engineName: string) {
    return this.http.call('GET', path('/webhook/find', engineName))
  }

  setSettings(engineName: string, settings: { receive_groups: boolean }) {
    return this.http.call('POST', path('/settings/set', engineName), { data: settingsOf(settings) })
  }

  /** Closes the socket of an open or connecting instance and opens it again; the session stays. */
  restart(engineName: string) {
    return this.http.call('POST', path('/instance/restart', engineName))
  }

  deleteInstance(engineName: string) {
    return this.http.call('DELETE', path('/instance/delete', engineName))
  }

  /** Expensive for the engine, which counts messages: not for polling. */
  fetchInstances() {
    return this.http.call('GET', '/instance/fetchInstances')
  }

  /** What it is and which version; the engine asks the internet before it answers. */
  greeting(timeout_ms = 10_000) {
    return this.http.call('GET', '/', { timeout_ms })
  }

  /** Version 2.4 must be activated; older ones do not know the route. */
  licence(timeout_ms = 5_000) {
    return this.http.call('GET', '/license/status', { timeout_ms })
  }

  verifyKey(timeout_ms = 5_000) {
    return this.http.call('POST', '/verify-creds', { data: {}, timeout_ms })
  }

  /** Stored messages of a window of time. */
  async findMessages(engineName: string, { from_me, ...window }: Window & { from_me: boolean }) {
    const found: FoundMessage[] = []
    for (let page = 1; page <= MAX_PAGES; page++) {
      const { pages, records } = await this.findPage(engineName, window, page, from_me)
      found.push(...(records as FoundMessage[]).filter(({ key }) => key.fromMe === from_me))
      if (page >= pages) break
    }
    return found
  }

  /** One page of the stored messages of a window of time, newest first, and how many pages there are. */
  findMessagePage(engineName: string, window: Window, page: number) {
    return this.findPage(engineName, window, page, false)
  }

  /** Which numbers are on WhatsApp; the order of the answer is not the order asked. */
  checkNumbers(engineName: string, numbers: string[]) {
    return this.http.call('POST', path('/chat/whatsappNumbers', engineName), { data: { numbers }, timeout_ms: 75_000 })
  }

  /** The file of a stored message, as base64 in JSON: large. */
  fetchMedia(engineName: string, whatsappId: string) {
    const data = { message: { key: { id: whatsappId } } }
    return this.http.call('POST', path('/chat/getBase64FromMediaMessage', engineName), { data })
  }

  /** Sends through one route of /message; the answer may take as long as `send_timeout_seconds`. */
  async send(route: string, engineName: string, body: Record<string, unknown>): Promise<EngineAnswer> {
    if (this.breaker.isOpen) throw new EngineUnreachable('BREAKER_OPEN', false)
    try {
      const answer = await this.http.post(path(`/message/${route}`, engineName), body)
      if (isGateways(answer.status)) this.breaker.missed()
      else this.breaker.reached()
      return answer
    } catch (err) {
      if (err instanceof EngineUnreachable && !err.written) this.breaker.missed()
      throw err
    }
  }

  close(): Promise<void> {
    return this.http.close()
  }

  /** The engine ignores a filter that is not exactly as it expects: `fromMe: false`, for one. */
  private async findPage(engineName: string, { from, to }: Window, page: number, onlyOurs: boolean) {
    const where = {
      ...(onlyOurs ? { key: { fromMe: true } } : {}),
      messageTimestamp: { gte: from.toISOString(), lte: to.toISOString() },
    }
    // `offset` is the size of a page, and there must be no `limit`.
    const data = { where, page, offset: PAGE_SIZE }
    const answer = await this.http.call('POST', path('/chat/findMessages', engineName), { data })
    const { messages } = (answer.body ?? {}) as { messages?: { pages: number; records: unknown[] } }
    if (answer.status !== 200 || !messages) throw new Error(`findMessages answered ${answer.status}`)
    return messages
  }
}

/** The engine wants all of them at once; only groups are ours to choose. */
const settingsOf = ({ receive_groups }: { receive_groups: boolean }) => ({
  groupsIgnore: !receive_groups,
  rejectCall: false,
  alwaysOnline: false,
  readMessages: false,
  readStatus: false,
  syncFullHistory: false,
})

const path = (route: string, engineName: string) => `${route}/${encodeURIComponent(engineName)}`
