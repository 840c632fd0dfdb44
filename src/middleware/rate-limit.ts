import type { RequestHandler } from 'express'
import { ipKeyGenerator, rateLimit } from 'express-rate-limit'
import { limitStore } from '../cache/limit-store.js'
import type { Redis } from '../cache/redis.js'
import { AppError } from '../errors.js'

const MINUTE_MS = 60_000

/** Per address: for the calls that come without a key. */
export function limitByAddress(name: string, perMinute: number, redis?: Redis): RequestHandler {
  return limiter(name, perMinute, (req) => ipKeyGenerator(req.ip ?? ''), redis)
}

/** Per user, after authentication. */
export function limitByUser(name: string, perMinute: number, redis?: Redis): RequestHandler {
  return limiter(name, perMinute, (req) => `user:${req.user.id}`, redis)
}

function limiter(
  name: string,
  limit: number,
  keyGenerator: (req: Parameters<RequestHandler>[0]) => string,
  redis?: Redis,
) {
  return rateLimit({
    windowMs: MINUTE_MS,
    limit,
    identifier: name,
    keyGenerator,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    store: limitStore(name, redis),
    handler: (_req, _res, next) =>
      next(new AppError('rate_limited', 'Too many requests. Wait as long as the header Retry-After says.')),
  })
}
