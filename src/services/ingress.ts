import { createHash } from 'node:crypto'
import type { Bus } from '../cache/bus.js'
import { type Database, isDatabaseDown } from '../db/database.js'
import * as gaps from '../db/gaps.js'
import { CommitLines } from '../db/group-commit.js'
import * as ingressRows from '../db/ingress.js'
import { AppError, unavailable } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Fact } from './engine-events.js'
import { translate } from './engine-events.js'
import { instancesNamed } from './engine-names.js'
import type { EngineEvent } from './attribution.js'
import { ingest } from './ingestion.js'
import { Repeats } from './repeats.js'
import { toStorable } from './sanitize.js'
import { sha256 } from './sha256.js'

/** What may wait for the database before new events are turned away; the engine repeats them. */
const MAX_WAITING = 5_000
const MAX_WAITING_BYTES = 64 * 1024 * 1024
const KEPT_CHARACTERS = 4_000
/** After a socket was opened anew: how far back messages are looked for, and how long WhatsApp may take to hand them over. */
const REOPENED = { back_seconds: 900, settle_seconds: 20 }
/** One that is opened again and again is looked at once more, when so long has passed. */
const REOPENED_AGAIN = { back_seconds: 900, settle_seconds: 600 }
const REOPENED_EVERY_MS = 600_000
const CONNECTING_EVERY_MS = 5_000
const NOBODYS_EVERY_MS = 600_000

type Known = EngineEvent['fact']
type Found = Extract<Fact, { kind: 'message' | 'receipt' }>

/** Takes the engine's webhooks in: whoever gets a 200 can forget the event, because it is committed. */
export class IngressService {
  private readonly ingesting: CommitLines<EngineEvent, void>
  private readonly connecting = new Repeats(CONNECTING_EVERY_MS)
  private readonly reopened = new Repeats(REOPENED_EVERY_MS)
  private readonly reopenedAgain = new Repeats(REOPENED_EVERY_MS)
  private readonly nobodys = new Repeats(NOBODYS_EVERY_MS)
  private bytes = 0

  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly log: Logger,
  ) {
    this.ingesting = new CommitLines(
      ({ engine_name }) => sumOf(engine_name),
      (batch) => ingest(db, bus, batch, (engineName) => this.noteNobodys(engineName)),
    )
  }

  /** Events that wait for the commit of those before them. */
  get depth(): number {
    return this.ingesting.depth
  }

  /** `raw` is the body as it came: the engine repeats it byte by byte. Throws `unavailable` when not stored. */
  async receive(engineName: string, raw: Buffer): Promise<void> {
    this.checkRoom()
    this.bytes += raw.length
    try {
      await this.take(engineName, raw)
    } catch (err) {
      throw err instanceof AppError ? err : unavailable('The event could not be stored. Send it again.', err)
    } finally {
      this.bytes -= raw.length
    }
  }

  /** A body that was not read to its end. */
  async receiveOversize(engineName: string, beginning: Buffer, size: number): Promise<void> {
    await this.keep(engineName, 'too large', beginning, size)
  }

  /** What was found in the engine's store, and the row it was found in; what is known already changes nothing. */
  async receiveFound(engineName: string, fact: Found, row: unknown): Promise<void> {
    const what = fact.kind === 'message' ? fact.message.whatsapp_id : `${fact.whatsapp_id} ${fact.status}`
    const key = sha256(`found\n${engineName}\n${what}`)
    await this.add({ engine_name: engineName, key, fact }, () => Buffer.from(JSON.stringify(row)))
  }

  private checkRoom() {
    if (this.depth >= MAX_WAITING || this.bytes >= MAX_WAITING_BYTES)
      throw unavailable('Too many events are waiting. Send this one again.')
  }

  private async take(engineName: string, raw: Buffer): Promise<void> {
    const fact = this.understand(engineName, raw)
    if (fact instanceof Error) return this.keep(engineName, fact.message, raw, raw.length)
    if (fact.kind === 'ignored') return
    // The engine says so with every attempt to open a socket, up to 19 times a second for each number.
    if (isConnecting(fact)) return this.connecting.once(engineName, () => this.store(engineName, raw, fact))
    if (fact.kind === 'state' || fact.kind === 'qr') this.connecting.forget(engineName)
    await this.store(engineName, raw, fact)
    if (fact.kind === 'state' && fact.state === 'open') this.lookBack(engineName)
  }

  private async store(engineName: string, raw: Buffer, fact: Known): Promise<void> {
    const key = createHash('sha256').update(`${engineName}\n`).update(raw).digest()
    await this.add({ engine_name: engineName, key, fact }, () => raw)
  }

  /** What the database can never store is kept as it came. */
  private async add(event: EngineEvent, asItCame: () => Buffer): Promise<void> {
    try {
      await this.ingesting.add(event)
    } catch (err) {
      if (!isUnstorable(err)) throw err
      const { engine_name } = event
      this.log.error({ err, engine_name }, 'the database refused an event, which is kept as it came')
      const body = asItCame()
      return this.keep(engine_name, `refused: ${err.message}`, body, body.length)
    }
    this.bus.tell('deliveries.due', {})
  }

  private understand(engineName: string, raw: Buffer) {
    try {
      const body = toStorable(JSON.parse(raw.toString('utf8')) as unknown) as Record<string, unknown>
      if (typeof body.event !== 'string') throw new Error('an event without a name')
      return translate(body.event, body.data)
    } catch (err) {
      this.log.warn({ err, engine_name: engineName }, 'an event was not understood and is kept as it came')
      return err instanceof Error ? err : new Error(String(err))
    }
  }

  /** An engine that restarted has forgotten the events it had not delivered yet. */
  private lookBack(engineName: string) {
    const instanceNames = instancesNamed(engineName)
    let first = false
    const looked = this.reopened.once(engineName, async () => {
      first = true
      // The first socket of a number has nothing before it, and does not count as the one of these minutes.
      if (!(await gaps.openForInstance(this.db, instanceNames, REOPENED))) this.reopened.forget(engineName)
    })
    const again = () =>
      this.reopenedAgain.once(engineName, async () => {
        await gaps.openForInstance(this.db, instanceNames, REOPENED_AGAIN)
      })
    looked
      .then(() => (first ? undefined : again()))
      .catch((err: unknown) => this.log.warn({ err, engine_name: engineName }, 'no look back after a new socket'))
  }

  /** A number that is deleted here, or was made after the backup that this database is from. */
  private noteNobodys(engine_name: string): void {
    void this.nobodys.once(engine_name, () => {
      this.log.info({ engine_name }, 'what the engine tells of an instance that is no phone number here is dropped')
      return Promise.resolve()
    })
  }

  private async keep(engine_name: string, reason: string, body: Buffer, size: number): Promise<void> {
    // The instance's own key travels in every body of the engine; it is not kept.
    const text = body
      .toString('utf8')
      .replace(/("apikey"\s*:\s*")[^"]*/g, '$1[private]')
      .slice(0, KEPT_CHARACTERS)
    const row = { engine_name, reason: toStorable(reason).slice(0, 200), size, body: toStorable(text) }
    await ingressRows.insertUnprocessed(this.db, row)
  }
}

const isConnecting = (fact: Known) => fact.kind === 'state' && fact.state === 'connecting'

/** What is wrong with the event itself (SQLSTATE 21, 22, 23, and 54: too long for an index) is so with its repetition. */
function isUnstorable(err: unknown): err is Error {
  if (!(err instanceof Error) || isDatabaseDown(err)) return false
  const code = 'code' in err ? String(err.code) : ''
  return /^(2[123]|54)/.test(code) || err instanceof RangeError || err instanceof TypeError
}

/** The events of one number keep their order: they share a line. */
function sumOf(name: string): number {
  let sum = 0
  for (let i = 0; i < name.length; i++) sum += name.charCodeAt(i)
  return sum
}
