import type { Request, RequestHandler } from 'express'
import type { Logger } from '../logger.js'
import { whenOver } from '../request-end.js'
import type { RequestLog } from '../services/request-log.js'

declare module 'express-serve-static-core' {
  interface Request {
    /** The prefix under which it was found. */
    mount?: string
  }
}

/** One line and one row per request, both with the route's pattern instead of its path. */
export function requestLog(log: Logger, rows: RequestLog): RequestHandler {
  return (req, res, next) => {
    const started = performance.now()
    req.mount = req.baseUrl // Express forgets it when an error leaves the router
    whenOver(req, res, () => {
      const entry = {
        user_id: (req as Partial<Request>).user?.id ?? null,
        api_key_id: (req as Partial<Request>).access?.api_key_id ?? null,
        endpoint: patternOf(req),
        method: req.method,
        ip_address: req.ip ?? null,
        status_code: res.writableFinished ? res.statusCode : 499, // nginx's number for a caller who left
        duration_ms: Math.round(performance.now() - started),
        request_id: req.id,
      }
      // What the engines report by themselves is not worth a line each, as long as it is taken.
      log[req.mount === '/internal' && res.statusCode < 400 ? 'debug' : 'info'](entry, 'request')
      if (entry.endpoint.startsWith('/api/')) rows.add({ ...entry, created_at: new Date() })
    })
    next()
  }
}

/** For a router within the one that is logged. */
export const noteMount: RequestHandler = (req, _res, next) => {
  req.mount = req.baseUrl
  next()
}

/** A request that was turned away before its route was found is only known by its prefix. */
function patternOf(req: Request): string {
  const route = req.route as { path?: unknown } | undefined
  const path = typeof route?.path === 'string' ? route.path : undefined
  if (path === undefined) return req.mount ? `${req.mount}/*` : 'unmatched'
  return `${req.mount || req.baseUrl}${path}`.replace(/(?<=.)\/$/, '')
}
