import type { Request, RequestHandler, Response } from 'express'
import { type RateLimitInfo, ipKeyGenerator, rateLimit } from 'express-rate-limit'
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

function limiter(name: string, rule: Rule, redis?: Redis): RequestHandler {
  const limit = rateLimit({
    windowMs: MINUTE_MS,
    ...rule,
    // Told below: the library's way of telling costs as much as all of its counting.
    standardHeaders: false,
    legacyHeaders: false,
    store: limitStore(name, redis),
    validate: false, // what it looks for at each request is how it was set up
    handler: (req, _res, next) => next(tooMany(windowOf(req))),
  })
  return (req, res, next) =>
    void limit(req, res, (err?: unknown) => {
      tell(res, name, windowOf(req))
      next(err)
    })
}

/** What the library leaves on the request. */
const windowOf = (req: Request) => (req as unknown as { rateLimit: RateLimitInfo }).rateLimit

const secondsLeft = ({ resetTime }: RateLimitInfo) =>
  Math.max(0, Math.ceil(((resetTime?.getTime() ?? 0) - Date.now()) / 1000))

/** The headers of the IETF draft "RateLimit header fields for HTTP", version 8; one member for each limit that counts. */
function tell(res: Response, name: string, window: RateLimitInfo) {
  const before = (header: string) => (res.hasHeader(header) ? `${String(res.getHeader(header))}, ` : '')
  const policy = `"${name}"; q=${window.limit}; w=${MINUTE_MS / 1000}`
  res.setHeader('RateLimit', `${before('RateLimit')}"${name}"; r=${window.remaining}; t=${secondsLeft(window)}`)
  res.setHeader('RateLimit-Policy', before('RateLimit-Policy') + policy)
}

const tooMany = (window: RateLimitInfo) =>
  new AppError('rate_limited', 'Too many requests. Wait as long as the header Retry-After says.', {
    retry_after_seconds: secondsLeft(window),
  })
