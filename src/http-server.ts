import { randomUUID } from 'node:crypto'
import {
  IncomingMessage,
  type RequestListener,
  STATUS_CODES,
  type Server,
  ServerResponse,
  createServer,
} from 'node:http'
import type { Duplex } from 'node:stream'
import type { Express } from 'express'
import { whenOver } from './request-end.js'
import type { Load } from './services/load.js'

export const HTTP_LIMITS = {
  header_bytes: 16 * 1024,
  /** All headers must be there after this time, and the whole request after the next: slow ones are cut off. */
  headers_ms: 10_000,
  request_ms: 120_000,
  /** How often the two above are looked at. */
  check_ms: 1_000,
  /** Nothing moved in either direction, longer than any answer is waited for: whoever does not read is let go. */
  silence_ms: 130_000,
  /** nginx keeps idle connections for 60 s; ours must live longer, or it would send into a closing one. */
  keep_alive_ms: 65_000,
  connections: 20_000,
}

/** The HTTP server around the app: limits on what a connection may cost, and who is turned away before it costs more. */
export function createHttpServer(app: ExpressListener, load: Load, limits = HTTP_LIMITS): Server {
  const server = createServer({
    ...bornFor(app),
    maxHeaderSize: limits.header_bytes,
    headersTimeout: limits.headers_ms,
    requestTimeout: limits.request_ms,
    connectionsCheckingInterval: limits.check_ms,
    keepAliveTimeout: limits.keep_alive_ms,
    insecureHTTPParser: false,
  })
  server.maxConnections = limits.connections
  server.setTimeout(limits.silence_ms)
  server.on('clientError', (err: NodeJS.ErrnoException, socket) => refuseConnection(err.code, socket))
  server.on('request', (req, res) => {
    if (!isSheddable(req.url ?? '')) return app(req, res)
    const reason = load.enter()
    if (reason) return turnAway(res)
    whenOver(req, res, () => load.leave())
    app(req, res)
  })
  return server
}

type ExpressListener = RequestListener & Pick<Express, 'request' | 'response'>

/**
 * Express gives each request and response the prototype of its app, and an object whose prototype is changed is slow for
 * the rest of its life: that was two thirds of what a bare Express costs. These are born with it.
 */
function bornFor(app: ExpressListener) {
  class Request extends IncomingMessage {}
  class Response extends ServerResponse {}
  Object.setPrototypeOf(Request.prototype, app.request)
  Object.setPrototypeOf(Response.prototype, app.response)
  Object.assign(app, { request: Request.prototype, response: Response.prototype })
  return { IncomingMessage: Request, ServerResponse: Response }
}

/**
 * Health, the engines' events and the operator stay served: they are what ends an overload. An address may be written
 * out in full, as for a proxy, and is routed all the same.
 */
function isSheddable(url: string): boolean {
  const path = url.replace(/^https?:\/\/[^/]*/i, '')
  return /^\/api\//i.test(path) && !/^\/api\/(v1\/)?admin\b/i.test(path)
}

/** Without Express, so that refusing costs a small part of what serving would. */
function turnAway(res: ServerResponse) {
  const request_id = randomUUID()
  const message = 'The server is busy. Try again in a moment.'
  const body = JSON.stringify({ success: false, error: { code: 'unavailable', message, request_id } })
  res.writeHead(503, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'retry-after': '2',
    'x-request-id': request_id,
  })
  res.end(body)
}

const STATUS_BY_CODE: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }
const MESSAGE_BY_STATUS: Record<number, string> = {
  400: 'This is not a valid HTTP request.',
  408: 'The request took too long to arrive.',
  431: 'The headers are larger than this server takes.',
}

/** What never became a request is answered in the same shape, and its connection ends: nothing after it can be trusted. */
function refuseConnection(code: string | undefined, socket: Duplex) {
  if (!socket.writable || code === 'ECONNRESET') return void socket.destroy()
  const status = STATUS_BY_CODE[code ?? ''] ?? 400
  const error = { code: 'invalid_request', message: MESSAGE_BY_STATUS[status], request_id: randomUUID() }
  const body = JSON.stringify({ success: false, error })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${error.request_id}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
