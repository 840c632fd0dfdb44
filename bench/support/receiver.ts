import { type ServerResponse, createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

const HOSTS = 16

/** Takes webhooks in the process of the bench, on several ports as so many hosts; `delay_ms` makes it a slow one. */
export class Receiver {
  count = 0
  first = 0
  delay_ms = 0
  private readonly servers = Array.from({ length: HOSTS }, () =>
    createServer((req, res) => void req.resume().on('end', () => this.take(res))),
  )

  static async open(): Promise<Receiver> {
    const receiver = new Receiver()
    for (const server of receiver.servers) {
      server.keepAliveTimeout = 600_000
      await once(server.listen(0, '127.0.0.1'), 'listening')
    }
    return receiver
  }

  get urls(): string[] {
    return this.servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }

  reset(): void {
    this.count = 0
  }

  close(): void {
    for (const server of this.servers) {
      server.close()
      server.closeAllConnections()
    }
  }

  private take(res: ServerResponse) {
    if (this.count++ === 0) this.first = performance.now()
    const answer = () => res.writeHead(200, { 'content-length': '2' }).end('ok')
    if (this.delay_ms > 0) setTimeout(answer, this.delay_ms)
    else answer()
  }
}
