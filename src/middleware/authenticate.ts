import type { RequestHandler } from 'express'
import type { User } from '../db/users.js'
import type { Authenticator } from '../services/authenticator.js'

declare module 'express-serve-static-core' {
  interface Request {
    /** Set by `authenticate`; routes without it must not read it. */
    user: User
  }
}

/** Accepts `x-api-key: wsk_…`, `Authorization: Bearer wsk_…` and `Authorization: Bearer <access token>`. */
export function authenticate(authenticator: Authenticator): RequestHandler {
  return async (req, _res, next) => {
    const bearer = /^Bearer +(\S+)$/i.exec(req.get('authorization') ?? '')?.[1]
    req.user = await authenticator.authenticate({ api_key: req.get('x-api-key')?.trim(), bearer })
    next()
  }
}
