import type { EvolutionClient } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import * as gaps from '../db/gaps.js'
import type { Gap } from '../db/gaps.js'
import type { Logger } from '../logger.js'
import type { Clock } from './clock.js'
import { type Fact, receiptOf, translate } from './engine-events.js'
import type { IngressService } from './ingress.js'
import { publicEvent } from './public-events.js'
import { toStorable } from './sanitize.js'

/** Servers are checked every 10 s; one miss is no outage. */
const OUTAGE_SECONDS = 30
/** Events that were in flight or being repeated when the silence began. */
const MARGIN_SECONDS = 120
const LEASE_SECONDS = 300
/** Pauses between tries, in seconds; after the last one the gap is told instead. */
const PAUSES = [30, 60, 120, 300, 600, 1_200, 1_800]
/** Of 200 messages each: more than a busy number gets in a night. */
const MAX_PAGES = 100
/** What the engine sends for us; what is typed on the phone comes from another kind of device. */
const OUR_SOURCE = 'web'

type Found = Extract<Fact, { kind: 'message' | 'receipt' }>

/** Fetches what numbers missed while their engine, or we, were away, and tells what cannot be fetched. */
export class GapFiller {
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

  /** One number at a time per server, so that the engine has time for its own backlog. Answers how many were filled. */
  async runDue(): Promise<number> {
    const due = await gaps.claimDue(this.db, this.clock.now(), LEASE_SECONDS)
    await Promise.all(due.map((gap) => this.fill(gap)))
    return due.length
  }

  private async fill(gap: Gap): Promise<void> {
    try {
      const { fetched, missing_until } = await this.fetch(this.pool.client(gap.server_instance), gap)
      if (missing_until) await this.tell(gap, { to: missing_until, reason: 'too_many_messages', fetched })
      else await this.db.transaction((tx) => gaps.close(tx, gap))
      this.log.info({ phone_number_id: gap.phone_number_id, fetched }, 'gap filled')
    } catch (err) {
      this.log.warn({ err, phone_number_id: gap.phone_number_id, attempt: gap.attempts }, 'a gap could not be filled')
      const pause = PAUSES[gap.attempts - 1]
      if (pause === undefined) await this.tell(gap, { to: gap.until_at, reason: 'engine_not_answering', fetched: 0 })
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
      const facts = records.reverse().flatMap((record) => this.factsOf(record))
      const messages = facts.flatMap((fact) => (fact.kind === 'message' ? [fact.message] : []))
      oldest ??= messages[0]?.sent_at
      await Promise.all(facts.map((fact) => this.ingress.receiveFound(gap.engine_name, fact)))
      fetched += messages.length
    }
    return pages > MAX_PAGES ? { fetched, missing_until: oldest ?? gap.until_at } : { fetched }
  }

  /** A message, also one that was typed on the phone; of a send of ours how far it has come. */
  private factsOf(record: unknown): Found[] {
    try {
      const row = toStorable(record) as { source?: unknown; MessageUpdate?: { status?: unknown }[] }
      const fact = translate('messages.upsert', row)
      if (fact.kind !== 'message') return []
      if (!fact.message.from_me || (row.source !== undefined && row.source !== OUR_SOURCE)) return [fact]
      const { whatsapp_id } = fact.message
      return (row.MessageUpdate ?? []).flatMap(({ status: word }) => {
        const status = receiptOf(word)
        return status ? [{ kind: 'receipt' as const, whatsapp_id, status }] : []
      })
    } catch (err) {
      this.log.warn({ err }, 'a stored message of the engine was not understood')
      return []
    }
  }

  private async tell(gap: Gap, { to, reason, fetched }: { to: Date; reason: string; fetched: number }): Promise<void> {
    const advice = 'Messages that arrived in this time may be missing here. They are on the phone.'
    await this.db.transaction(async (tx) => {
      const data = { from: gap.from_at, to, reason, fetched, advice }
      await events.record(tx, [publicEvent('gap', { ...gap, id: gap.phone_number_id }, data)])
      await gaps.close(tx, gap)
    })
  }
}
