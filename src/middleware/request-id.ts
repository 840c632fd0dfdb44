import { randomUUID } from 'node:crypto'
import type { RequestHandler } from 'express'

declare module 'express-serve-static-core' {
  interface Request {
    id: string
  }
}

/** A caller's own id is kept when it is harmless in a log line and a header. */
const HARMLESS = /^[\w.:-]{1,64}$/

export function requestId(): RequestHandler {
  return (req, res, next) => {
    const given = req.get('x-request-id')
    req.id = given && HARMLESS.test(given) ? given : randomUUID()
    res.set('x-request-id', req.id)
    next()
  }
}
