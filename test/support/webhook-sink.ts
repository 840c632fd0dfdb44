import { type IncomingHttpHeaders, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Received {
  path: string
  headers: IncomingHttpHeaders
  text: string
  body: { id: string; type: string; position: number; data: Record<string, unknown>; [name: string]: unknown }
}

/** Statuses to answer with, in turn; 'reset' breaks the connection, 'hang' waits for `letGo`. */
export type Reply = number | 'reset' | 'hang' | { status: number; headers?: Record<string, string>; body?: string }

/** A real receiver of webhooks that remembers what it got and can be told how to answer. */
export class WebhookSink {
  readonly received: Received[] = []
  private replies: Reply[] = []
  private always: (got: Received) => Reply = () => 200
  private readonly hanging: ServerResponse[] = []

  private constructor(private readonly server: ReturnType<typeof createServer>) {}

  static async start(): Promise<WebhookSink> {
    const server = createServer()
    const sink = new WebhookSink(server)
    server.on('request', (req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const got: Received = { path: req.url!, headers: req.headers, text, body: JSON.parse(text) }
        sink.received.push(got)
        const reply = sink.replies.shift() ?? sink.always(got)
        if (reply === 'reset') req.socket.destroy()
        else if (reply === 'hang') sink.hanging.push(res)
        else if (typeof reply === 'number') res.writeHead(reply).end('ok')
        else res.writeHead(reply.status, reply.headers).end(reply.body ?? '')
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return sink
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`
  }

  /** The next answers, one each; afterwards 200 again, or what `replyAlways` said. */
  replyWith(...replies: Reply[]): void {
    this.replies.push(...replies)
  }

  replyAlways(reply: Reply | ((got: Received) => Reply)): void {
    this.always = typeof reply === 'function' ? reply : () => reply
  }

  /** Answers all that hang. */
  letGo(status: number): void {
    for (const res of this.hanging.splice(0)) res.writeHead(status).end('ok')
  }

  ofType(type: string): Received[] {
    return this.received.filter(({ body }) => body.type === type)
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
