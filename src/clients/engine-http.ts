import axios, { type AxiosInstance } from 'axios'
import { type Dispatcher, Pool, buildConnector } from 'undici'
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

export interface EngineOptions {
  api_key: string
  send_timeout_seconds: number
  control_timeout_seconds?: number
}

interface ControlCall {
  data?: unknown
  params?: Record<string, string>
  timeout_ms?: number
}

const NEVER_WRITTEN =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|UND_ERR_CONNECT_TIMEOUT|ERR_INVALID_URL)$/

/** Errors of connections that never came about, whatever their code: a certificate that has expired has many. */
const unconnected = new WeakSet<object>()

/**
 * The two ways of one process to one server: control calls go through axios; sends and probes, the hot paths, through
 * undici (docs/adr/0005). Answers are returned whatever their status; a missing one throws EngineUnreachable.
 */
export class EngineHttp {
  private readonly control: AxiosInstance
  private readonly hot: Pool

  constructor(
    url: string,
    private readonly options: EngineOptions,
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
    this.hot = new Pool(url, {
      connections: 64,
      connect: connector(5_000),
      // Evolution closes an idle connection after 5 s; a request written into that moment would be ambiguous.
      keepAliveTimeout: 3_000,
      keepAliveMaxTimeout: 3_000,
      headersTimeout: options.send_timeout_seconds * 1000,
      bodyTimeout: 30_000,
    })
  }

  async call(method: string, url: string, { data, params, timeout_ms }: ControlCall = {}): Promise<EngineAnswer> {
    try {
      const response = await this.control.request<unknown>({ method, url, data, params, timeout: timeout_ms })
      return { status: response.status, body: response.data }
    } catch (err) {
      throw unreachable(err)
    }
  }

  probe(path: string, timeoutMs: number): Promise<EngineAnswer> {
    return this.exchange({ method: 'GET', path, headersTimeout: timeoutMs, bodyTimeout: timeoutMs })
  }

  /** The answer may take as long as `send_timeout_seconds`. */
  post(path: string, body: unknown): Promise<EngineAnswer> {
    return this.exchange({ method: 'POST', path, body: JSON.stringify(body) })
  }

  async close(): Promise<void> {
    await this.hot.destroy()
  }

  private async exchange(request: Dispatcher.DispatchOptions): Promise<EngineAnswer> {
    const headers: Record<string, string> = { apikey: this.options.api_key, accept: 'application/json' }
    if (request.body) headers['content-type'] = 'application/json'
    try {
      const { status, text } = await new Exchange(this.hot, Object.assign(request, { headers })).answer
      return { status, body: parse(text) }
    } catch (err) {
      throw unreachable(err)
    }
  }
}

/** What a proxy says for an engine that it cannot reach; Evolution itself has no such status. */
export const isGateways = (status: number): boolean => status >= 502 && status <= 504

function connector(timeout: number): buildConnector.connector {
  const connect = buildConnector({ timeout })
  return (options, callback) =>
    connect(options, (...result) => {
      if (result[0]) unconnected.add(result[0])
      callback(...result)
    })
}

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
