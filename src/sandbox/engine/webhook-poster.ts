import { createHmac } from 'node:crypto'
import { Agent, request } from 'undici'
import type { WebhookRetry } from '../options.js'

interface Post {
  url: string
  headers: Record<string, string>
  body: string
}

/**
 * Posts events as Evolution does: each on its own as soon as it happens, repeated with growing delays, and kept in
 * memory only, so that a restart loses what is pending.
 */
export class WebhookPoster {
  private readonly agent = new Agent({ connections: 256, connect: { timeout: 10_000 } })
  private readonly waiting = new Set<{ timer: NodeJS.Timeout; giveUp: () => void }>()
  private closed = false

  constructor(private readonly retry: WebhookRetry) {}

  get pending(): number {
    return this.waiting.size
  }

  /** Resolves when the event was taken or given up; never rejects. */
  async post(url: string, headers: Record<string, string>, event: unknown): Promise<void> {
    const post = { url, headers: withToken(headers), body: JSON.stringify(event) }
    for (let attempt = 1; !this.closed; attempt++) {
      const status = await this.attempt(post)
      const taken = status !== undefined && status >= 200 && status < 300
      const refused = status !== undefined && this.retry.no_retry_statuses.includes(status)
      if (taken || refused || attempt >= this.retry.attempts) return
      await this.pause(attempt)
    }
  }

  async close(): Promise<void> {
    this.closed = true
    for (const { timer, giveUp } of this.waiting) {
      clearTimeout(timer)
      giveUp()
    }
    await this.agent.destroy()
  }

  private async attempt({ url, headers, body }: Post): Promise<number | undefined> {
    try {
      const response = await request(url, {
        method: 'POST',
        dispatcher: this.agent,
        headers: {
          accept: 'application/json, text/plain, */*',
          'content-type': 'application/json',
          'user-agent': 'axios/1.21.1',
          'accept-encoding': 'gzip, compress, deflate, br',
          ...headers,
        },
        body,
        signal: AbortSignal.timeout(this.retry.timeout_ms),
      })
      await response.body.dump()
      return response.statusCode
    } catch {
      return undefined
    }
  }

  private async pause(attempt: number): Promise<void> {
    const { initial_delay_ms, max_delay_ms, jitter } = this.retry
    const delay = Math.min(initial_delay_ms * 2 ** (attempt - 1), max_delay_ms)
    const spread = delay * (1 + jitter * (2 * Math.random() - 1))
    await new Promise<void>((resolve) => {
      const entry = { timer: setTimeout(done, Math.max(initial_delay_ms, spread)), giveUp: done }
      const { waiting } = this
      waiting.add(entry)
      function done() {
        waiting.delete(entry)
        resolve()
      }
    })
  }
}

/** `jwt_key` among the headers is not sent: it signs a token that takes its place. */
function withToken({ jwt_key, ...headers }: Record<string, string>): Record<string, string> {
  if (!jwt_key) return headers
  const iat = Math.floor(Date.now() / 1000)
  const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const claims = { iat, exp: iat + 600, app: 'evolution', action: 'webhook' }
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  const signature = createHmac('sha256', jwt_key).update(signed).digest('base64url')
  return { ...headers, authorization: `Bearer ${signed}.${signature}` }
}
