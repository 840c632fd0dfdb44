import { createHash } from 'node:crypto'
import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import { GroupCommit } from '../db/group-commit.js'
import * as ingressRows from '../db/ingress.js'
import { unavailable } from '../errors.js'
import type { Logger } from '../logger.js'
import { type EngineEvent, ingest } from './ingestion.js'
import { translate } from './engine-events.js'
import { toStorable } from './sanitize.js'

/** Events that may wait for the database before new ones are turned away; the engine repeats them. */
const MAX_WAITING = 5_000
const KEPT_CHARACTERS = 4_000

/** Takes the engine's webhooks in: whoever gets a 200 can forget the event, because it is committed. */
export class IngressService {
  private readonly ingesting: GroupCommit<EngineEvent, void>

  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly log: Logger,
  ) {
    this.ingesting = new GroupCommit((batch) => ingest(db, bus, batch))
  }

  /** `raw` is the body as it came: the engine repeats it byte by byte. Throws `unavailable` when not stored. */
  async receive(engineName: string, raw: Buffer): Promise<void> {
    if (this.ingesting.depth >= MAX_WAITING) throw unavailable('Too many events are waiting. Send this one again.')
    const fact = this.understand(engineName, raw)
    if (fact instanceof Error) return this.keep(engineName, fact.message, raw)
    if (fact.kind === 'ignored') return
    const key = createHash('sha256').update(`${engineName}\n`).update(raw).digest()
    await this.ingesting.add({ engine_name: engineName, key, fact })
    this.bus.tell('deliveries.due', {})
  }

  /** A body that was not read to its end. */
  async receiveOversize(engineName: string, beginning: Buffer, size: number): Promise<void> {
    await this.store(engineName, 'too large', beginning, size)
  }

  private understand(engineName: string, raw: Buffer) {
    try {
      const body = toStorable(JSON.parse(raw.toString('utf8')) as unknown) as Record<string, unknown>
      return translate(String(body.event), body.data)
    } catch (err) {
      this.log.warn(
        { err, engine_name: engineName },
        'an event of the engine was not understood and is kept as it came',
      )
      return err instanceof Error ? err : new Error(String(err))
    }
  }

  private keep(engineName: string, reason: string, raw: Buffer): Promise<void> {
    return this.store(engineName, reason, raw, raw.length)
  }

  private async store(engine_name: string, reason: string, body: Buffer, size: number): Promise<void> {
    // The instance's own key travels in every body of the engine; it is not kept.
    const text = body
      .toString('utf8')
      .replace(/("apikey"\s*:\s*")[^"]*/g, '$1[private]')
      .slice(0, KEPT_CHARACTERS)
    await ingressRows.insertUnprocessed(this.db, {
      engine_name,
      reason: reason.slice(0, 200),
      size,
      body: toStorable(text),
    })
  }
}
