import type { Agent } from 'undici'
import type { TargetGuard } from '../webhooks/target-guard.js'
import { BROKEN_OFF, type WebhookAnswer, WebhookPost } from './webhook-post.js'

const OURS = { 'content-type': 'application/json', 'user-agent': 'whatsapp-saas-api/1' }

/** Posts to users' URLs: guarded at every connect, no redirects. */
export class WebhookHttp {
  private readonly agent: Agent

  constructor(private readonly guard: TargetGuard) {
    // Each post has its own time, and needs no other.
    const noTimeouts = { headersTimeout: 0, bodyTimeout: 0 }
    this.agent = guard.dispatcher({ connectTimeout: 5_000, keepAliveTimeout: 4_000, connections: 16, ...noTimeouts })
  }

  /** Never rejects: what went wrong is part of the answer. */
  post(url: string, headers: Record<string, string>, body: string): Promise<WebhookAnswer> {
    const post = new WebhookPost()
    try {
      const { origin, pathname, search } = new URL(url)
      this.agent.dispatch(
        {
          origin,
          path: pathname + search,
          method: 'POST',
          headers: Object.assign({}, headers, OURS),
          body,
        },
        post,
      )
    } catch (err) {
      post.end(err as Error)
    }
    return post.answer
  }

  /** Ends all posts as `aborted`; there can be no more. */
  breakOff(): void {
    void this.agent.destroy(BROKEN_OFF)
  }

  close(): Promise<void> {
    return this.guard.close()
  }
}
