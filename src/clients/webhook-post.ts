import type { Dispatcher } from 'undici'

const TIMEOUT_MS = 15_000
const KEPT_BYTES = 1024
/** An answer may be this long before its end is not waited for. */
const READ_BYTES = 64 * KEPT_BYTES

export interface WebhookAnswer {
  status?: number
  error?: { code?: string; message?: string }
  retry_after?: string
  /** Its first kilobyte. */
  body?: string
  ms: number
  /** Broken off by us: it says nothing about the receiver. */
  aborted?: boolean
}

/**
 * One POST, from its start to its answer, as undici's dispatcher tells of it: what undici puts on top of that for
 * comfort cost half as much again as the rest of a delivery. Fifteen seconds in all, waiting for a connection included.
 */
export class WebhookPost implements Dispatcher.DispatchHandler {
  /** Never rejects: what went wrong is part of it. */
  readonly answer: Promise<WebhookAnswer>
  private settle: (answer: WebhookAnswer) => void = () => {}
  private readonly started = performance.now()
  private readonly timer = setTimeout(() => this.end(TIMED_OUT), TIMEOUT_MS)
  private controller: Dispatcher.DispatchController | undefined
  private ended: Error | undefined
  private head: { status: number; retry_after: string | undefined } | undefined
  private readonly chunks: Buffer[] = []
  private size = 0

  constructor() {
    this.answer = new Promise((resolve) => (this.settle = resolve))
  }

  /** Whatever comes first settles it; the connection is given up unless the answer is complete. */
  end(reason?: Error): void {
    if (this.ended) return
    this.ended = reason ?? COMPLETE
    clearTimeout(this.timer)
    if (reason) this.controller?.abort(reason)
    const ms = Math.round(performance.now() - this.started)
    const head = this.head // spread out here, it would cost as much as the rest of this method
    if (head) this.settle({ status: head.status, retry_after: head.retry_after, body: this.beginning(), ms })
    else this.settle({ error: describe(this.ended), ms, aborted: reason === BROKEN_OFF })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.ended) controller.abort(this.ended)
  }

  onResponseStart(_controller: unknown, status: number, headers: Record<string, string | string[] | undefined>): void {
    if (status < 200) return // more is to come
    const retryAfter = headers['retry-after']
    this.head = { status, retry_after: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter }
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    if (this.size < KEPT_BYTES) this.chunks.push(chunk)
    this.size += chunk.length
    if (this.size > READ_BYTES) this.end(TOO_LONG)
  }

  onResponseEnd(): void {
    this.end()
  }

  /** After the status line the attempt is settled already, however the rest ends. */
  onResponseError(_controller: unknown, err: Error): void {
    this.end(err)
  }

  /** Invalid UTF-8 becomes U+FFFD; NUL cannot be stored as text. */
  private beginning(): string {
    const bytes = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks)
    return bytes.toString('utf8', 0, KEPT_BYTES).replaceAll('\0', '')
  }
}

const COMPLETE = new Error('the answer is complete')
/** What ends a post as `aborted`, unless the receiver has answered. */
export const BROKEN_OFF = new Error('broken off because this server stops')
const TOO_LONG = new Error('the rest of the answer is not read')
const TIMED_OUT = Object.assign(new Error('no answer in time'), { code: 'UND_ERR_ABORTED' })

function describe(err: unknown): { code?: string; message?: string } {
  if (!(err instanceof Error)) return { message: String(err) }
  const cause = err.cause instanceof Error ? err.cause : undefined
  const code = [err, cause]
    .map((e) => (e && 'code' in e && typeof e.code === 'string' ? e.code : undefined))
    .find(Boolean)
  // What is no HTTP has a code only where the parser has one for it.
  return { code: code ?? (err.name === 'HTTPParserError' ? 'HPE_INVALID' : undefined), message: err.message }
}
