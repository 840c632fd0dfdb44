import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

/** Takes webhooks, in the process of the bench; `delay_ms` makes it a slow one. */
export class Receiver {
  count = 0
  first = 0
  delay_ms = 0
  private readonly server = createServer((req, res) => {
    req.resume().on('end', () => {
      if (this.count++ === 0) this.first = performance.now()
      const answer = () => res.writeHead(200, { 'content-length': '2' }).end('ok')
      if (this.delay_ms > 0) setTimeout(answer, this.delay_ms)
      else answer()
    })
  })

  static async open(): Promise<Receiver> {
    const receiver = new Receiver()
    receiver.server.keepAliveTimeout = 600_000
    await once(receiver.server.listen(0, '127.0.0.1'), 'listening')
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  reset(): void {
    this.count = 0
  }

  close(): void {
    this.server.close()
    this.server.closeAllConnections()
  }
}
