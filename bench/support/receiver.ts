import { once } from 'node:events'
import { type AddressInfo, type Socket, createServer } from 'node:net'

const HOSTS = 16
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/**
 * Takes webhooks in the process of the bench, on several ports as so many hosts; `delay_ms` makes it a slow one. It reads
 * no more of a request than its length: a node:http server would take more of the second core than what is measured leaves.
 */
export class Receiver {
  count = 0
  first = 0
  delay_ms = 0
  private readonly sockets = new Set<Socket>()
  private readonly servers = Array.from({ length: HOSTS }, () => createServer((socket) => this.serve(socket)))

  static async open(): Promise<Receiver> {
    const receiver = new Receiver()
    for (const server of receiver.servers) await once(server.listen(0, '127.0.0.1'), 'listening')
    return receiver
  }

  get urls(): string[] {
    return this.servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }

  reset(): void {
    this.count = 0
  }

  close(): void {
    for (const server of this.servers) server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  /** One request at a time, as undici sends them. */
  private serve(socket: Socket) {
    this.sockets.add(socket.setNoDelay())
    let request = ''
    socket.on('data', (chunk) => {
      request += chunk.toString('latin1')
      if (!isWhole(request)) return
      request = ''
      this.take(socket)
    })
    socket.on('close', () => this.sockets.delete(socket)).on('error', () => {})
  }

  private take(socket: Socket) {
    if (this.count++ === 0) this.first = performance.now()
    if (this.delay_ms > 0) setTimeout(() => socket.write(ANSWER), this.delay_ms)
    else socket.write(ANSWER)
  }
}

const LENGTH = 'content-length: '

/** undici writes the length last. */
function isWhole(request: string): boolean {
  const head = request.indexOf('\r\n\r\n')
  if (head < 0) return false
  const length = request.lastIndexOf(LENGTH, head)
  return length >= 0 && request.length >= head + 4 + Number(request.slice(length + LENGTH.length, head))
}
