import type { Request, RequestHandler, Response } from 'express'
import type { User } from '../db/users.js'
import { AppError, unavailable } from '../errors.js'
import { once, whenOver } from '../request-end.js'
import type { ByteRoom } from '../services/byte-room.js'

declare module 'express-serve-static-core' {
  interface Request {
    /** What was sent is stored and needed no more: another large body may come. */
    bodyTaken?: () => void
  }
}

/** Bodies of one user on their way at the same time. */
const MOST = 100
/** Shorter ones take no room: there is always enough for them. */
const SMALL = 256 * 1024
/** How long a large body may take: so many milliseconds, and what this many bytes a second make of it. */
const SLOW_MS = 10_000
const SLOWEST = 256 * 1024
/** In line for the room, of one user and of all: those behind would have given up. */
const MAX_LINE = { own: 16, all: 64 }

/**
 * Lets `read` have bodies as they can be borne: a slow one holds the place of a request that could be worked on, so each
 * user has only so many; large ones take memory, so they come through `room`. One of unknown length counts as `longest`.
 */
export function limitArriving(read: RequestHandler, { longest, room }: { longest: number; room: ByteRoom }) {
  const arriving = new Map<number, number>()
  const count = (user: number, step: 1 | -1) => {
    const own = (arriving.get(user) ?? 0) + step
    if (own > 0) arriving.set(user, own)
    else arriving.delete(user)
  }
  const limited: RequestHandler = (req, res, next) => {
    const user = (req.user as User | undefined)?.id
    if (user === undefined) return read(req, res, next) // who has no key is limited by address
    const bytes = lengthOf(req, longest)
    const refusal = (arriving.get(user) ?? 0) >= MOST ? tooMany() : bytes > SMALL ? refusalOf(room, user) : undefined
    if (refusal) return next(refusal)
    count(user, 1)
    const arrived = once(() => count(user, -1))
    whenOver(req, res, arrived)
    const readNow = () =>
      void read(req, res, (err?: unknown) => {
        arrived()
        next(err)
      })
    if (bytes > SMALL) readInRoom(req, res, room.enter({ user_id: user, bytes }), bytes, readNow)
    else readNow()
  }
  return limited
}

/** Who has gone meanwhile is not read any more, and who is too slow is not waited for: others want the room. */
function readInRoom(req: Request, res: Response, turn: ReturnType<ByteRoom['enter']>, bytes: number, read: () => void) {
  whenOver(req, res, turn.giveUp)
  void turn.inside.then((leave) => {
    const tooSlow = setTimeout(() => req.complete || req.destroy(), SLOW_MS + (bytes / SLOWEST) * 1000)
    whenOver(req, res, () => {
      clearTimeout(tooSlow)
      leave()
    })
    req.bodyTaken = () => {
      req.body = req.upload = undefined
      leave()
    }
    read()
  })
}

function refusalOf(room: ByteRoom, user: number): AppError | undefined {
  if (room.depthOf(user) >= MAX_LINE.own) return tooMany()
  return room.depth >= MAX_LINE.all ? unavailable('Too many large bodies are on their way. Try again.') : undefined
}

function lengthOf(req: Request, longest: number): number {
  return req.get('transfer-encoding') === undefined ? Number(req.get('content-length') ?? 0) : longest
}

const tooMany = () =>
  new AppError('rate_limited', 'Too many bodies of yours are on their way at once. Let some of them end first.', {
    retry_after_seconds: 5,
  })
