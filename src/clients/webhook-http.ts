import type { Agent } from 'undici'
import type { TargetGuard } from '../webhooks/target-guard.js'
import { BROKEN_OFF, type WebhookAnswer, WebhookPost } from './webhook-post.js'

const OURS = { 'content-type': 'application/json', 'user-agent': 'whatsapp-saas-api/1' }

export interface PostTarget {
  url: string
  /** The receiver's own. */
  headers: Record<string, string>
  /** Read by the first post, for all that share the target. */
  address?: Address
}

interface Address {
  origin: string
  path: string
  /** Names and values in turn. */
  headers: string[]
}

/** Posts to users' URLs: guarded at every connect, no redirects. */
export class WebhookHttp {
  private readonly agent: Agent

  constructor(private readonly guard: TargetGuard) {
    // Each post has its own time, and needs no other. As many connections as posts, which are bounded: many users have
    // their receivers at the same host, and one whose answers are slow must not take the connections of the others.
    const noTimeouts = { headersTimeout: 0, bodyTimeout: 0 }
    this.agent = guard.dispatcher({ connectTimeout: 5_000, keepAliveTimeout: 4_000, ...noTimeouts })
  }

  /** Never rejects: what went wrong is part of the answer. */
  post(target: PostTarget, headers: Record<string, string>, body: string): Promise<WebhookAnswer> {
    const post = new WebhookPost()
    try {
      const { origin, path, headers: own } = (target.address ??= addressOf(target))
      const all = own.slice()
      for (const name in headers) all.push(name, headers[name]!)
      this.agent.dispatch({ origin, path, method: 'POST', headers: all, body }, post)
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

function addressOf({ url, headers }: PostTarget): Address {
  const { origin, pathname, search } = new URL(url)
  return { origin, path: pathname + search, headers: Object.entries({ ...headers, ...OURS }).flat() }
}
