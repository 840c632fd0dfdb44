import { type Agent, request } from 'undici'
import type { TargetGuard } from '../webhooks/target-guard.js'

const TIMEOUT_MS = 15_000
const KEPT_BYTES = 1024

export interface WebhookAnswer {
  status?: number
  error?: { code?: string; message?: string }
  retry_after?: string
  body?: string
  ms: number
  /** Broken off by us: it says nothing about the receiver. */
  aborted?: boolean
}

/** Posts to users' URLs: guarded at every connect, no redirects, 15 s in all, the first kilobyte of the answer kept. */
export class WebhookHttp {
  private readonly agent: Agent

  constructor(private readonly guard: TargetGuard) {
    this.agent = guard.dispatcher({
      connectTimeout: 5_000,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      keepAliveTimeout: 4_000,
      connections: 16,
    })
  }

  /** Never throws: what went wrong is part of the answer. `stop` breaks it off, as `aborted`. */
  async post(url: string, headers: Record<string, string>, body: string, stop?: AbortSignal): Promise<WebhookAnswer> {
    const started = performance.now()
    const elapsed = () => Math.round(performance.now() - started)
    try {
      const response = await request(url, {
        method: 'POST',
        dispatcher: this.agent,
        headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'whatsapp-saas-api/1' },
        body,
        signal: stop ? AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), stop]) : AbortSignal.timeout(TIMEOUT_MS),
      })
      const retryAfter = response.headers['retry-after']
      return {
        status: response.statusCode,
        retry_after: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
        body: await beginning(response.body),
        ms: elapsed(),
      }
    } catch (err) {
      return { error: describe(err), ms: elapsed(), aborted: stop?.aborted ?? false }
    }
  }

  close(): Promise<void> {
    return this.guard.close()
  }
}

/** Reads a kilobyte and drops the rest; an answer that breaks off has still been given. */
async function beginning(body: AsyncIterable<Buffer> & { destroy: () => void }): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      size += chunk.length
      if (size > 64 * KEPT_BYTES) break
    }
  } catch {
    // The status line has settled the attempt already.
  }
  // Invalid UTF-8 becomes U+FFFD; NUL cannot be stored as text.
  return Buffer.concat(chunks).subarray(0, KEPT_BYTES).toString('utf8').replaceAll('\0', '')
}

function describe(err: unknown): { code?: string; message?: string } {
  if (!(err instanceof Error)) return { message: String(err) }
  const cause = err.cause instanceof Error ? err.cause : undefined
  const code = [err, cause]
    .map((e) => (e && 'code' in e && typeof e.code === 'string' ? e.code : undefined))
    .find(Boolean)
  return { code: err.name === 'TimeoutError' ? 'UND_ERR_ABORTED' : code, message: err.message }
}
