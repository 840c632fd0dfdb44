import { once } from 'node:events'
import { type Socket, connect } from 'node:net'

/** What a connection sends: the same call with a few bytes changed, or a new one each time. */
export type NextCall = () => Buffer

export interface Outcome {
  count: number
  ms: number
  /** Answers by status; anything but 2xx is a fault of the run. */
  statuses: Map<number, number>
  /** Of each call, in milliseconds; in the order they ended. */
  latencies: number[]
}

export interface Limits {
  ms: number
  count?: number
}

/** A call as bytes: building and parsing HTTP by hand keeps the load cheaper than what it measures. */
export function post(path: string, headers: Record<string, string>, body: string): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n`
  return Buffer.from(`${head}${lines.join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}

/** Keep-alive connections to one server, each with one call in flight. */
export class Clients {
  private readonly connections: Connection[]

  constructor(port: number, calls: NextCall[]) {
    this.connections = calls.map((next) => new Connection(port, next))
  }

  /** Calls as fast as answers come, until the time or the count is over. */
  async drive({ ms, count = Number.POSITIVE_INFINITY }: Limits): Promise<Outcome> {
    const started = performance.now()
    const run = { until: started + ms, left: count, statuses: new Map<number, number>(), latencies: [] as number[] }
    await Promise.all(this.connections.map((connection) => connection.run(run)))
    return {
      count: run.latencies.length,
      ms: performance.now() - started,
      statuses: run.statuses,
      latencies: run.latencies,
    }
  }

  close(): void {
    for (const connection of this.connections) connection.close()
  }
}

interface Run {
  until: number
  left: number
  statuses: Map<number, number>
  latencies: number[]
}

/** No server here thinks that long; whoever loses an answer must not hang the bench. */
const PATIENCE_MS = 30_000

class Connection {
  private socket: Socket | undefined
  private received = ''
  private answered: (status: number) => void = () => {}
  private broken: (err: Error) => void = () => {}

  constructor(
    private readonly port: number,
    private readonly next: NextCall,
  ) {}

  async run(run: Run): Promise<void> {
    while (run.left > 0 && performance.now() < run.until) {
      run.left--
      // Between two rounds a server may close what was idle, as any client must expect.
      if (!this.socket || this.socket.destroyed) await this.open()
      const began = performance.now()
      const status = await this.call()
      run.latencies.push(performance.now() - began)
      run.statuses.set(status, (run.statuses.get(status) ?? 0) + 1)
    }
  }

  async open(): Promise<void> {
    const socket = connect(this.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.setNoDelay(true)
    socket.setTimeout(PATIENCE_MS, () => this.broken(new Error('a call was not answered in time')))
    socket.on('data', (chunk) => this.take(chunk.toString('latin1')))
    socket.on('error', (err) => this.broken(err))
    socket.on('close', () => this.broken(new Error('the server closed a connection in the middle of a call')))
    this.socket = socket
    this.received = ''
  }

  close(): void {
    this.socket?.destroy()
  }

  private async call(): Promise<number> {
    try {
      return await new Promise((resolve, reject) => {
        this.answered = resolve
        this.broken = reject
        this.socket!.write(this.next())
      })
    } finally {
      this.broken = () => {}
    }
  }

  private take(chunk: string) {
    this.received += chunk
    const head = this.received.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = /\r\ncontent-length: (\d+)/i.exec(this.received)?.[1]
    if (length === undefined) return this.broken(new Error('an answer without content-length'))
    if (this.received.length < head + 4 + Number(length)) return
    const status = Number(this.received.slice(9, 12))
    this.received = ''
    this.answered(status)
  }
}
