import { readFileSync } from 'node:fs'
import { type Socket, connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

export interface Call {
  method: string
  path: string
  headers: Record<string, string>
  body?: string
}

/** A stretch of load. `callers` wait for their answers; arrivals come at their times and wait for nobody. */
export interface Phase {
  name: string
  ms: number
  callers?: number
  /** Arrivals per second as a multiple of what was served per second by the last phase of `callers`. */
  times_peak?: number
  /** Whether the next phase begins only when all of this one are answered. */
  drained?: boolean
}

export interface Score {
  name: string
  calls: number
  /** Answers by status; 0 counts calls whose connection broke, or that found none free. */
  statuses: Record<number, number>
  /** Answers 2xx per second, in the part of the phase that is counted. */
  goodput: number
  /** The same per second of processor time that the server got: a busy neighbour takes it from every phase. */
  goodput_per_cpu: number
  /** Of answers 2xx, in milliseconds. */
  p50: number
  p99: number
  /** When the last call that was not served began, as a share of the phase; 0 when all were served. */
  last_refused: number
}

/** A phase is not counted while it begins: what was asked for before is still being answered. */
export const COUNTED_FROM = 0.25
const MAX_RATE = 6_000
/** Connections that stand ready before arrivals begin, as in a proxy: to open one takes a server under load too long. */
const READY = 400
const MAX_LINES = 2_000
const TICK_MS = 4
/** Longer than two hundred log-ins take; whoever gets no answer at all must not hang the run. */
const PATIENCE_MS = 90_000

export class Callers {
  private readonly idle: Line[] = []
  private readonly open = new Set<Promise<void>>()
  private lines = 0
  private next = 0
  private peak = 0

  constructor(
    private readonly server: { port: number; pid: number },
    private readonly calls: Call[],
  ) {}

  async run(phases: Phase[]): Promise<Score[]> {
    const scores: Score[] = []
    for (const phase of phases) {
      const { callers, times_peak = 0, drained } = phase
      const tally = callers === undefined ? await this.arrive(times_peak, phase) : await this.wait(callers, phase)
      if (drained) await Promise.all(this.open)
      scores.push(await tally.score())
      if (callers !== undefined) this.peak = scores.at(-1)!.goodput
    }
    for (const line of this.idle) line.close()
    return scores
  }

  private async wait(callers: number, phase: Phase): Promise<Tally> {
    const tally = new Tally(phase, this.server.pid)
    const call = async () => {
      do await this.call(tally)
      while (!tally.over)
    }
    await Promise.all(Array.from({ length: callers }, call))
    return tally
  }

  private async arrive(timesPeak: number, phase: Phase): Promise<Tally> {
    while (this.idle.filter(({ broken }) => !broken).length < READY) this.idle.push(this.newLine()!)
    await Promise.all(this.idle.map((line) => line.opened))
    const tally = new Tally(phase, this.server.pid)
    const rate = Math.min(MAX_RATE, timesPeak * this.peak)
    for (let arrived = 0; !tally.over; await pause(TICK_MS))
      for (const due = (tally.elapsed / 1000) * rate; arrived < due; arrived++) {
        const call = this.call(tally).finally(() => this.open.delete(call))
        this.open.add(call)
      }
    return tally
  }

  private async call(tally: Tally) {
    const line = this.takeLine()
    const began = tally.begin()
    const status = line ? await line.ask(this.calls[this.next++ % this.calls.length]!) : 0
    if (line && !line.broken) this.idle.push(line)
    else if (line) this.lines--
    tally.end(began, status)
  }

  private takeLine(): Line | undefined {
    for (let line = this.idle.pop(); line; line = this.idle.pop()) {
      if (!line.broken) return line
      this.lines-- // it was idle for too long
    }
    return this.newLine()
  }

  private newLine(): Line | undefined {
    if (this.lines >= MAX_LINES) return undefined
    this.lines++
    return new Line(this.server.port)
  }
}

class Tally {
  private readonly origin = performance.now()
  private readonly statuses: Record<number, number> = {}
  private readonly latencies: number[] = []
  private calls = 0
  private lastRefused = 0
  private readonly cpu: Promise<number>

  constructor(
    private readonly phase: Phase,
    pid: number,
  ) {
    this.cpu = this.measureCpu(pid)
  }

  get elapsed(): number {
    return performance.now() - this.origin
  }

  get over(): boolean {
    return this.elapsed >= this.phase.ms
  }

  begin(): number {
    this.calls++
    return this.elapsed
  }

  end(began: number, status: number): void {
    const now = this.elapsed
    const served = status >= 200 && status < 300
    if (!served) this.lastRefused = Math.max(this.lastRefused, began)
    if (now < COUNTED_FROM * this.phase.ms) return
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    if (served && now <= this.phase.ms) this.latencies.push(now - began)
  }

  private async measureCpu(pid: number): Promise<number> {
    await pause(COUNTED_FROM * this.phase.ms)
    const before = cpuSeconds(pid)
    await pause(this.phase.ms - this.elapsed)
    return cpuSeconds(pid) - before
  }

  async score(): Promise<Score> {
    const { name, ms } = this.phase
    const sorted = this.latencies.sort((a, b) => a - b)
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
    const goodput = sorted.length / ((1 - COUNTED_FROM) * (ms / 1000))
    return {
      name,
      calls: this.calls,
      statuses: this.statuses,
      goodput,
      goodput_per_cpu: sorted.length / (await this.cpu),
      p50: at(0.5),
      p99: at(0.99),
      last_refused: this.lastRefused / ms,
    }
  }
}

const TICKS_PER_SECOND = 100

/** What a process has used; Linux only. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** One connection, one call at a time; reading and writing HTTP by hand keeps load cheaper than what it measures. */
class Line {
  broken = false
  readonly opened: Promise<void>
  private received = ''
  private answer: (status: number) => void = () => {}
  private readonly socket: Socket

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.opened = new Promise((resolve) => this.socket.once('connect', resolve).once('close', () => resolve()))
    this.socket.on('data', (chunk) => this.take(chunk.toString('latin1')))
    this.socket.setTimeout(PATIENCE_MS, () => this.give(0))
    this.socket.on('error', () => this.give(0))
    this.socket.on('close', () => this.give(0))
  }

  ask({ method, path, headers, body = '' }: Call): Promise<number> {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines.join('')}`
    return new Promise((resolve) => {
      this.answer = resolve
      if (this.broken) return resolve(0)
      this.socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    })
  }

  private take(chunk: string) {
    this.received += chunk
    const head = this.received.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.received)?.[1])
    if (this.received.length < head + 4 + length) return
    const status = Number(this.received.slice(9, 12))
    this.received = ''
    this.answer(status)
  }

  close(): void {
    this.socket.destroy()
  }

  private give(status: number) {
    this.broken = true
    this.socket.destroy()
    this.answer(status)
  }
}
