import type { Request, RequestHandler } from 'express'
import type { User } from '../db/users.js'
import { AppError } from '../errors.js'

const MEGABYTE = 1024 * 1024
/** Bodies of one user on their way at the same time, where one that is longer than a megabyte counts for each of them. */
const MOST = 100

/**
 * Lets `read` have the bodies of one user only so many at a time: a slow one holds the place of a request that could be
 * worked on, and a long one memory. A first body is taken whatever its length, which is at most `longest` bytes.
 */
export function limitArriving(read: RequestHandler, longest: number): RequestHandler {
  const arriving = new Map<number, number>()
  return (req, res, next) => {
    const user = (req.user as User | undefined)?.id
    if (user === undefined) return read(req, res, next) // who has no key is limited by address
    const before = arriving.get(user) ?? 0
    const weight = Math.max(1, Math.ceil(lengthOf(req, longest) / MEGABYTE))
    if (before > 0 && before + weight > MOST) return next(tooMany())
    arriving.set(user, before + weight)
    void read(req, res, (err?: unknown) => {
      const left = arriving.get(user)! - weight
      if (left > 0) arriving.set(user, left)
      else arriving.delete(user)
      next(err)
    })
  }
}

function lengthOf(req: Request, longest: number): number {
  return req.get('transfer-encoding') === undefined ? Number(req.get('content-length') ?? 0) : longest
}

const tooMany = () =>
  new AppError('rate_limited', 'Too many bodies of yours are on their way at once. Let some of them end first.', {
    retry_after_seconds: 5,
  })
