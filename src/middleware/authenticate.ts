import type { RequestHandler } from 'express'
import type { Scope } from '../db/api-keys.js'
import type { User } from '../db/users.js'
import { AppError } from '../errors.js'
import type { Access, Authenticator } from '../services/authenticator.js'

declare module 'express-serve-static-core' {
  interface Request {
    /** Set by `authenticate`; routes without it must not read it. */
    user: User
    access: Access
    /** What the caller may do by now; throws as soon as that is no longer what the route asks for. */
    accessNow: () => Promise<Access>
  }
}

/**
 * Accepts `x-api-key: wsk_…`, `Authorization: Bearer wsk_…` and `Authorization: Bearer <access token>`. `limitRefused`
 * counts who was refused: good keys behind the same address are not touched by it.
 */
export function authenticate(authenticator: Authenticator, limitRefused: RequestHandler): RequestHandler {
  return (req, res, next) => {
    const bearer = /^Bearer +(\S+)$/i.exec(req.get('authorization') ?? '')?.[1]
    req.accessNow = () => authenticator.authenticate({ api_key: req.get('x-api-key')?.trim(), bearer })
    req.accessNow().then(
      (access) => {
        req.access = access
        req.user = access.user
        next()
      },
      (err: unknown) => {
        if (!(err instanceof AppError) || err.code !== 'unauthorized') return next(err)
        return limitRefused(req, res, (tooMany?: unknown) => next(tooMany ?? err))
      },
    )
  }
}

/** A guard that tells which scopes it asks for, so that a test can find a route that asks for none. */
export type ScopeGuard = RequestHandler & { scopes: readonly Scope[] }

/** Lets a key through that has every one of these scopes. Stands at each route, before its body is read. */
export function requireScope(...scopes: [Scope, ...Scope[]]): ScopeGuard {
  const guard: RequestHandler = (req, _res, next) => {
    checkScopes(req.access, scopes)
    const { accessNow } = req
    req.accessNow = async () => {
      const access = await accessNow()
      checkScopes(access, scopes)
      return access
    }
    next()
  }
  return Object.assign(guard, { scopes })
}

/** Throws `forbidden` unless the caller has all of these; for what only the body tells. */
export function checkScopes(access: Access, scopes: readonly Scope[]): void {
  const missing = scopes.filter((scope) => !access.scopes.includes(scope))
  if (missing.length === 0) return
  throw new AppError('forbidden', `This API key lacks the scope ${missing.join(' and ')}. Use one that has it.`, {
    details: { required: scopes, missing },
  })
}
