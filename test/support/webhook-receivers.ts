import { type IncomingHttpHeaders, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One delivery as a receiver saw it; `accepted` when it was answered with 200. */
export interface Seen {
  path: string
  webhook_id: string
  text: string
  headers: IncomingHttpHeaders
  at: number
  accepted: boolean
}

/** What a receiver does with a request: answers a status, breaks off, keeps silent, or answers late. */
export type Behaviour = number | 'reset' | 'hang' | { status: number; after_ms: number }

/** Many receivers behind one port, told apart by path, with a ledger that is asked afterwards. */
export class Receivers {
  readonly seen: Seen[] = []

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    private readonly port: number,
  ) {}

  static async start(behave: (path: string, n: number) => Behaviour, keepText = true): Promise<Receivers> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const receivers = new Receivers(server, (server.address() as AddressInfo).port)
    server.on('request', (req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        const behaviour = behave(req.url!, receivers.seen.length)
        const accepted = behaviour === 200 || (typeof behaviour === 'object' && behaviour.status === 200)
        const text = keepText ? Buffer.concat(chunks).toString() : ''
        const webhook_id = String(req.headers['webhook-id'])
        receivers.seen.push({
          path: req.url!,
          webhook_id,
          text,
          headers: keepText ? req.headers : {},
          at: performance.now(),
          accepted,
        })
        answer(res, behaviour)
      })
      req.on('error', () => {})
    })
    return receivers
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`
  }

  /** How often each event was accepted. */
  acceptedCounts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { webhook_id, accepted } of this.seen)
      if (accepted) counts.set(webhook_id, (counts.get(webhook_id) ?? 0) + 1)
    return counts
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

function answer(res: ServerResponse, behaviour: Behaviour) {
  if (behaviour === 'hang') return
  if (behaviour === 'reset') res.socket?.destroy()
  else if (typeof behaviour === 'number') res.writeHead(behaviour).end()
  else setTimeout(() => res.writeHead(behaviour.status).end(), behaviour.after_ms)
}
