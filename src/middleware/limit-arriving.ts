import type { Request, RequestHandler, Response } from 'express'
import type { User } from '../db/users.js'
import { AppError, unavailable } from '../errors.js'
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
    res.once('close', arrived)
    const readNow = () =>
      void read(req, res, (err?: unknown) => {
        arrived()
        next(err)
      })
    if (bytes <= SMALL) return readNow()
    room
      .enter({ user_id: user, bytes })
      .then((leave) => readInRoom(req, res, leave, readNow))
      .catch(next)
  }
  return limited
}

/** Who has gone meanwhile is not read any more. */
function readInRoom(req: Request, res: Response, leave: () => void, read: () => void) {
  if (res.closed) return leave()
  res.once('close', leave)
  req.bodyTaken = () => {
    req.body = req.upload = undefined
    leave()
  }
  read()
}

function refusalOf(room: ByteRoom, user: number): AppError | undefined {
  if (room.depthOf(user) >= MAX_LINE.own) return tooMany()
  return room.depth >= MAX_LINE.all ? unavailable('Too many large bodies are on their way. Try again.') : undefined
}

function lengthOf(req: Request, longest: number): number {
  return req.get('transfer-encoding') === undefined ? Number(req.get('content-length') ?? 0) : longest
}

function once(work: () => void): () => void {
  let done = false
  return () => {
    if (!done) work()
    done = true
  }
}

const tooMany = () =>
  new AppError('rate_limited', 'Too many bodies of yours are on their way at once. Let some of them end first.', {
    retry_after_seconds: 5,
  })
