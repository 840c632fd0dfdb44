import { setTimeout as sleep } from 'node:timers/promises'
import type { EvolutionClient } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import * as gaps from '../db/gaps.js'
import type { Gap } from '../db/gaps.js'
import type { Logger } from '../logger.js'
import type { Clock } from './clock.js'
import { type Fact, receiptOf, translate } from './engine-events.js'
import { MARGIN_SECONDS, OUTAGE_SECONDS, gapEvent } from './gap-event.js'
import type { IngressService } from './ingress.js'
import { toStorable } from './sanitize.js'

const LEASE_SECONDS = 300
/** A server that takes longer for a gap holds up nobody else's. */
const PATIENCE_MS = 5_000
/** As long as the tries with their pauses take: whoever cannot be asked so long has no more of them. */
const HOPELESS_SECONDS = 4_200
const HOPELESS_AT_ONCE = 500
/** Pauses between tries, in seconds; after the last one the gap is told instead. */
const PAUSES = [30, 60, 120, 300, 600, 1_200, 1_800]
/** Of 200 messages each: more than a busy number gets in a night. */
const MAX_PAGES = 100
/** What the engine sends for us; what is typed on the phone comes from another kind of device. */
const OUR_SOURCE = 'web'

type Found = Extract<Fact, { kind: 'message' | 'receipt' }>

/** Fetches what numbers missed while their engine, or we, were away, and tells what cannot be fetched. */
export class GapFiller {
  /** By server: one number at a time, so that the engine has time for its own backlog. */
  private readonly filling = new Map<string, Promise<void>>()

  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly ingress: IngressService,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** Opens a gap for every number of a server that is back; whoever was away, the hole in its sightings is the same. */
  async watch(): Promise<void> {
    const opened = await this.db.transaction(async (tx) => {
      const outages = await gaps.noteSights(tx, OUTAGE_SECONDS)
      for (const outage of outages) await gaps.openForServer(tx, outage, MARGIN_SECONDS)
      return outages
    })
    for (const { server_name, from_at, until_at } of opened)
      this.log.warn({ server: server_name, from_at, until_at }, 'a server is back; what its numbers missed is fetched')
  }

  /** Begins one number of each server that is not at one yet, and waits a moment for these; answers how many it began. */
  async runDue(): Promise<number> {
    await this.tellHopeless()
    const due = await gaps.claimDue(this.db, this.clock.now(), LEASE_SECONDS, [...this.filling.keys()])
    const begun = due.map((gap) => this.begin(gap))
    await Promise.race([Promise.all(begun), sleep(PATIENCE_MS, undefined, { ref: false })])
    return due.length
  }

  private begin(gap: Gap): Promise<void> {
    const { server_instance: server } = gap
    const filled = this.fill(gap)
      .catch((err: unknown) => this.log.warn({ err }, 'a gap is tried again when its lease has lapsed'))
      .finally(() => this.filling.delete(server))
    this.filling.set(server, filled)
    return filled
  }

  private async tellHopeless(): Promise<void> {
    await this.db.transaction(async (tx) => {
      const lost = await gaps.takeHopeless(tx, this.clock.now(), HOPELESS_SECONDS, HOPELESS_AT_ONCE)
      await events.record(
        tx,
        lost.map((gap) => missedOf(gap, gap.until_at, 'engine_not_answering', 0)),
      )
    })
  }

  private async fill(gap: Gap): Promise<void> {
    try {
      const { fetched, missing_until } = await this.fetch(this.pool.client(gap.server_instance), gap)
      if (missing_until) await this.tell(gap, missing_until, 'too_many_messages', fetched)
      else await this.db.transaction(async (tx) => void (await gaps.close(tx, gap)))
      this.log.info({ phone_number_id: gap.phone_number_id, fetched }, 'gap filled')
    } catch (err) {
      this.log.warn({ err, phone_number_id: gap.phone_number_id, attempt: gap.attempts }, 'a gap could not be filled')
      const pause = PAUSES[gap.attempts - 1]
      if (pause === undefined) await this.tell(gap, gap.until_at, 'engine_not_answering', 0)
      else await gaps.postpone(this.db, gap.id, new Date(this.clock.now().getTime() + pause * 1000))
    }
  }

  /** Oldest first, a page at a time: the window is closed, so pages do not move while they are read. */
  private async fetch(client: EvolutionClient, gap: Gap): Promise<{ fetched: number; missing_until?: Date }> {
    const window = { from: gap.from_at, to: gap.until_at }
    const { pages } = await client.findMessagePage(gap.engine_name, window, 1)
    const first = Math.min(pages, MAX_PAGES)
    let fetched = 0
    let oldest: Date | undefined
    for (let page = first; page >= 1; page--) {
      const { records } = await client.findMessagePage(gap.engine_name, window, page)
      const found = records.reverse().flatMap((row) => this.factsOf(row).map((fact) => ({ row, fact })))
      const messages = found.flatMap(({ fact }) => (fact.kind === 'message' ? [fact.message] : []))
      oldest ??= messages[0]?.sent_at
      await Promise.all(found.map(({ row, fact }) => this.ingress.receiveFound(gap.engine_name, fact, row)))
      fetched += messages.length
    }
    return pages > MAX_PAGES ? { fetched, missing_until: oldest ?? gap.until_at } : { fetched }
  }

  /** A message, and how far it has come if it went out; a send of ours is known already. */
  private factsOf(record: unknown): Found[] {
    try {
      const row = toStorable(record) as { source?: unknown; MessageUpdate?: { status?: unknown }[] }
      const fact = translate('messages.upsert', row)
      if (fact.kind !== 'message') return []
      if (!fact.message.from_me) return [fact]
      const { whatsapp_id } = fact.message
      const receipts = (row.MessageUpdate ?? []).flatMap(({ status: word }) => {
        const status = receiptOf(word)
        return status ? [{ kind: 'receipt' as const, whatsapp_id, status }] : []
      })
      const isOurs = row.source === undefined || row.source === OUR_SOURCE
      return isOurs ? receipts : [fact, ...receipts]
    } catch (err) {
      this.log.warn({ err }, 'a stored message of the engine was not understood')
      return []
    }
  }

  private async tell(gap: Gap, ...missed: [to: Date, reason: Reason, fetched: number]): Promise<void> {
    await this.db.transaction(async (tx) => {
      // Before the feed, as everybody; what is gone was told by whoever took it.
      if (await gaps.close(tx, gap)) await events.record(tx, [missedOf(gap, ...missed)])
    })
  }
}

type Reason = Parameters<typeof gapEvent>[1]['reason']

const missedOf = (gap: Gap, to: Date, reason: Reason, fetched: number) =>
  gapEvent({ ...gap, id: gap.phone_number_id }, { from: gap.from_at, to, reason, fetched })
