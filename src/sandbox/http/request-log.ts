import type { NextFunction, Request, Response } from 'express'

export interface SeenRequest {
  at: string
  method: string
  path: string
  status: number
  duration_ms: number
  /** Left out when long. */
  body?: unknown
}

const KEPT = 5_000
const LONGEST_BODY = 4_096

/** The newest requests, so that a test can see what was asked and how often. */
export class RequestLog {
  private readonly seen: SeenRequest[] = []
  private total = 0

  readonly note = (req: Request, res: Response, next: NextFunction): void => {
    if (req.path.startsWith('/sandbox')) {
      next()
      return
    }
    const started = performance.now()
    const path = req.originalUrl
    res.on('close', () => {
      const entry = {
        at: new Date().toISOString(),
        method: req.method,
        path,
        status: res.writableEnded ? res.statusCode : 0,
      }
      this.add({ ...entry, duration_ms: performance.now() - started, ...shortBody(req) })
    })
    next()
  }

  /** How many there were in all, and the newest whose path contains `path`. */
  list({ path = '', method }: { path?: string; method?: string } = {}) {
    const requests = this.seen.filter(
      (request) => request.path.includes(path) && (method === undefined || request.method === method),
    )
    return { total: this.total, requests }
  }

  clear(): void {
    this.seen.length = 0
    this.total = 0
  }

  private add(request: SeenRequest): void {
    this.total += 1
    this.seen.push(request)
    if (this.seen.length > KEPT * 2) this.seen.splice(0, KEPT)
  }
}

function shortBody(req: Request): { body?: unknown } {
  const body: unknown = req.body
  return body !== undefined && Number(req.get('content-length') ?? 0) <= LONGEST_BODY ? { body } : {}
}
