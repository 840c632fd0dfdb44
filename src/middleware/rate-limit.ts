import type { Request, RequestHandler } from 'express'
import { ipKeyGenerator, rateLimit } from 'express-rate-limit'
import { limitStore } from '../cache/limit-store.js'
import type { Redis } from '../cache/redis.js'
import { AppError } from '../errors.js'

const MINUTE_MS = 60_000

/** Whom a limit counts: one IPv4 address, or one customer's IPv6 network, whose addresses are free to change. */
export const addressOf = (req: Request) => ipKeyGenerator(req.ip ?? '')

/** Per address: for the calls that come without a key. */
export function limitByAddress(name: string, perMinute: number, redis?: Redis): RequestHandler {
  return limiter(name, { limit: () => perMinute, keyGenerator: addressOf }, redis)
}

/** Per user after authentication, whatever key is used: more keys are not more requests. */
export function limitByUser(name: string, perMinute: number, redis?: Redis): RequestHandler {
  return limiter(name, { limit: () => perMinute, keyGenerator: (req) => `user:${req.user.id}` }, redis)
}

/** The share of one key, where it has one: a careless script then leaves the rest to the others. */
export function limitByKey(name: string, redis?: Redis): RequestHandler {
  const limit = limiter(
    name,
    { limit: (req) => req.access.rate_limit_per_minute ?? 0, keyGenerator: (req) => `key:${req.access.api_key_id}` },
    redis,
  )
  return (req, res, next) => (req.access.rate_limit_per_minute === null ? next() : void limit(req, res, next))
}

interface Rule {
  limit: (req: Request) => number
  keyGenerator: (req: Request) => string
}

function limiter(name: string, rule: Rule, redis?: Redis) {
  return rateLimit({
    windowMs: MINUTE_MS,
    ...rule,
    identifier: name,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    store: limitStore(name, redis),
    validate: false, // what it looks for at each request is how it was set up
    handler: (_req, _res, next) =>
      next(new AppError('rate_limited', 'Too many requests. Wait as long as the header Retry-After says.')),
  })
}
