import { randomUUID } from 'node:crypto'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { Database } from '../../src/db/database.js'
import { type ConnectedNumber, type TestUser, environmentOf, eventually, startTestApp } from './test-app.js'
import { AppProcess } from './webhook-faults.js'

/** A moment in the life of a send: around the commit that accepts or settles it, or around the call of the engine. */
export interface Point {
  around: 'accept' | 'settle' | 'engine'
  when: 'before' | 'after'
}

type Spring = () => void

/** Waits for a point and springs once. */
class Trap {
  private armed: (Point & { left: number; spring: Spring }) | undefined

  /** Springs the `nth` time the point is reached. */
  set(point: Point, nth: number, spring: Spring): void {
    this.armed = { ...point, left: nth, spring }
  }

  get isSet(): boolean {
    return this.armed !== undefined
  }

  /** True when it sprang just now: what has come so far goes no further. */
  reached({ around, when }: Point): boolean {
    const { armed } = this
    if (armed?.around !== around || armed.when !== when || --armed.left > 0) return false
    this.armed = undefined
    armed.spring()
    return true
  }
}

interface Watch {
  sent(chunk: Buffer): boolean
  answered(chunk: Buffer): boolean
}

/** Passes everything on until a watcher says stop; then the connection is cut with what it has not passed on. */
async function startWatched(target: number, watch: () => Watch) {
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true })
    const watcher = watch()
    const cut = () => [socket, upstream].forEach((one) => one.destroy())
    for (const one of [socket, upstream]) {
      open.add(one)
      one.on('error', cut).on('close', () => {
        open.delete(one)
        cut()
      })
    }
    socket.on('data', (chunk) => (watcher.sent(chunk) ? cut() : upstream.write(chunk)))
    upstream.on('data', (chunk) => (watcher.answered(chunk) ? cut() : socket.write(chunk)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async () => {
    for (const socket of open) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  return { port: (server.address() as AddressInfo).port, close }
}

/** Words that only this statement has. */
const STATEMENTS = { accept: 'ttl_seconds, on_ambiguous, quota_day', settle: 'set status = o.status, error_code' }
type Written = keyof typeof STATEMENTS

/** Sees what a transaction writes, and its commit. */
function watchDatabase(trap: Trap): Watch {
  const read = frontendReader()
  const prepared = new Map<string, Written>()
  let inside: Written | undefined
  let committing = false

  function note({ type, words: [first = '', second = ''] }: { type: string; words: string[] }) {
    if (type === 'Q' && first === 'begin') inside = undefined
    if (type === 'P') {
      const written = (Object.keys(STATEMENTS) as Written[]).find((name) => second.includes(STATEMENTS[name]))
      if (written) prepared.set(first, written)
      else prepared.delete(first)
    }
    if (type === 'B') inside = prepared.get(second) ?? inside
    committing = type === 'Q' && first === 'commit' && inside !== undefined
  }

  return {
    sent: (chunk) => {
      read(chunk).forEach(note)
      return committing && trap.reached({ around: inside!, when: 'before' })
    },
    answered: () => committing && trap.reached({ around: inside!, when: 'after' }),
  }
}

/** Takes the client's half of PostgreSQL's protocol apart: a type, a length, and texts that end with a zero. */
function frontendReader() {
  let rest = Buffer.alloc(0)
  let started = false
  return (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    const messages: { type: string; words: string[] }[] = []
    for (;;) {
      const head = started ? 1 : 0 // the first message has no type
      if (rest.length < head + 4) return messages
      const end = head + rest.readInt32BE(head)
      if (rest.length < end) return messages
      const type = started ? String.fromCharCode(rest[0]!) : ''
      const words =
        'QPB'.includes(type) && type
          ? rest
              .subarray(head + 4, end)
              .toString('latin1')
              .split('\0', 2)
          : []
      messages.push({ type, words })
      rest = rest.subarray(end)
      started = true
    }
  }
}

function watchEngine(trap: Trap): Watch {
  let sending = false
  return {
    sent: (chunk) => {
      sending = chunk.includes('POST /message/')
      return sending && trap.reached({ around: 'engine', when: 'before' })
    },
    answered: () => sending && trap.reached({ around: 'engine', when: 'after' }),
  }
}

export type SendingFaults = Awaited<ReturnType<typeof startSendingFaults>>

/** A compiled server that can be killed at any point, between a database and engines that survive it. */
export async function startSendingFaults({ numbers }: { numbers: number }) {
  const app = await startTestApp({ sandbox: { ack_delay_ms: 5, slow_ms: 20 } })
  const user = await app.createUser({ plan_type: 'enterprise' })
  const phones: ConnectedNumber[] = []
  for (let n = 0; n < numbers; n++) phones.push(await app.connectedNumber(user))
  const environment = await environmentOf(app.database, app.sandboxes)
  const db = Database.connect({ ...app.database, pool_max: 4 })
  await db.query('update users set max_messages_per_day = 1000000')
  await app.server.close()

  const trap = new Trap()
  const database = await startWatched(app.database.port, () => watchDatabase(trap))
  const engines = await Promise.all(app.sandboxes.map(({ port }) => startWatched(port, () => watchEngine(trap))))
  // The port the instances know for their webhooks.
  const child = new AppProcess(app.server.port, {
    ...environment,
    DB_PORT: String(database.port),
    EVOLUTION_SERVERS: app.sandboxes.map(({ name }, n) => `${name}=http://127.0.0.1:${engines[n]!.port}`).join(','),
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
  })
  await child.start()
  const stop = async () => {
    await child.kill()
    await Promise.all([database.close(), ...engines.map((engine) => engine.close())])
    await db.close()
    await app.stop()
  }
  return { app, user, phones, db, child, trap, ledger: app.sandboxes[0]!.controls.ledger, stop }
}

/** A caller who repeats a call with its key until it is answered; counts what was asked for. */
export class Callers {
  readonly ids = new Map<string, number>()
  private stopped = false
  private readonly running: Promise<void>[] = []

  constructor(
    private readonly url: string,
    private readonly user: TestUser,
    private readonly phones: { token: string }[],
  ) {}

  /** So many sends, one after the other, each to be answered. */
  start(count: number): Promise<void> {
    const run = this.sendAll(count)
    this.running.push(run)
    return run
  }

  async finish(): Promise<void> {
    await Promise.all(this.running)
  }

  stop(): void {
    this.stopped = true
  }

  private async sendAll(count: number) {
    for (let n = 0; n < count && !this.stopped; n++) {
      const text = randomUUID()
      const phone = this.phones[n % this.phones.length]!
      this.ids.set(text, await this.untilAnswered(text, phone.token, n))
    }
  }

  private async untilAnswered(text: string, token: string, n: number): Promise<number> {
    const number = n % 7 === 3 ? '628000000002' : n % 7 === 5 ? '628000000012' : '628000000003'
    for (;;) {
      const answer = await this.call({ token, number, text })
      const id = answer?.message?.id ?? answer?.error?.details?.message?.id
      if (id !== undefined) return id
      await pause(50)
    }
  }

  private async call(body: object): Promise<Answer | undefined> {
    const key = (body as { text: string }).text
    const headers = { 'content-type': 'application/json', 'x-api-key': this.user.api_key, 'idempotency-key': key }
    try {
      const signal = AbortSignal.timeout(20_000)
      const init = { method: 'POST', headers, body: JSON.stringify(body), signal }
      return (await (await fetch(`${this.url}/api/messages/send-text?wait=0.2`, init)).json()) as Answer
    } catch {
      return undefined // cut off: whether it was taken is not known
    }
  }
}

interface Answer {
  message?: { id: number }
  error?: { details?: { message?: { id: number } } }
}

/** Down as by a power cut, and up again; nobody waits for the dead to be noticed. */
export async function restart({ child, db }: SendingFaults): Promise<void> {
  await child.kill()
  await db.query(`update processes set heartbeat_at = now() - interval '1 minute'`)
  await child.start()
}

/** Every accepted message in exactly one state that is true, the engine saw none twice, and the quota adds up. */
export async function expectNothingLostOrDoubled({ db, ledger }: SendingFaults, callers: Callers): Promise<void> {
  await eventually(async () => {
    const { rows } = await db.query<{ status: string; n: number }>(
      `select status, count(*) as n from messages where status in ('queued', 'sending') group by status`,
    )
    if (rows.length > 0) throw new Error(`still ${JSON.stringify(rows)}`)
  }, 60_000)
  expect(ledger.countsOf({ min_count: 2 })).toEqual([])

  // What went out is found out, however the answer was lost.
  await eventually(async () => {
    const { rows } = await db.query<{ text: string }>(
      `select content->>'text' as text from messages where status = 'unconfirmed'`,
    )
    const found = rows.filter(({ text }) => ledger.countsOf({ text }).length > 0)
    if (found.length > 0) throw new Error(`${found.length} went out and are not found`)
  }, 60_000)

  const { rows } = await db.query<{ id: number; status: string; text: string }>(
    `select id, status, content->>'text' as text from messages where direction = 'outgoing'`,
  )
  expect(rows.map(({ id }) => id).sort()).toEqual([...callers.ids.values()].sort())
  const wentOut = new Set(ledger.countsOf().map(({ text }) => text))
  for (const { text, status, id } of rows) {
    expect(callers.ids.get(text)).toBe(id)
    expect([text, status]).toEqual([
      text,
      expect.stringMatching(wentOut.has(text) ? /^(sent|delivered|read)$/ : /^(failed|unconfirmed)$/),
    ])
  }
  const books = await db.query(
    `select coalesce(sum(used), 0) as used,
            (select count(*) from messages where quota_day is not null and not refunded) as charged,
            (select count(*) from lanes where in_flight is not null) as in_flight
       from daily_usage`,
  )
  const { used, charged, in_flight } = books.rows[0] as Record<string, number>
  expect({ used, in_flight }).toEqual({ used: charged, in_flight: 0 })
}
