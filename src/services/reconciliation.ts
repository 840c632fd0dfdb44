import type { Bus } from '../cache/bus.js'
import { EngineUnreachable, type FoundMessage } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database, Queryable } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import * as events from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as reports from '../db/message-reports.js'
import type { Changed } from '../db/messages.js'
import type { Logger } from '../logger.js'
import { RECEIPTS, address } from './engine-events.js'
import { contentOf } from './engine-content.js'
import { fingerprintOf } from './fingerprint.js'
import { statusEvent } from './message-view.js'
import { account } from './settlement.js'

/** When to look again, in seconds after the look before. A send may be stuck behind another for over a minute. */
const LOOKS_AFTER = [10, 30, 75, 180, 600]
/** Of what the engine sends for us; what is typed on the phone comes from another kind of device. */
const SOURCE = 'web'
/** From this look on, a caller who prefers a duplicate to a loss gets its message sent again. */
const RETRY_AT_LOOK = 4

/** Finds out what became of sends whose answer was lost: in what the engine reported, then in what it has stored. */
export class Reconciliation {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly bus: Bus,
    private readonly log: Logger,
  ) {}

  /** Looks for what is due; answers how many were looked for. */
  async runDue(now?: Date): Promise<number> {
    const due = await reports.claimUnconfirmed(this.db, 20, now)
    for (const message of due) await this.look(message, now ?? new Date())
    return due.length
  }

  private async look(message: reports.Unconfirmed, now: Date): Promise<void> {
    if (await this.explain(message.phone_number_id, message.id)) return
    try {
      await this.rememberStored(message, await this.findInEngine(message))
      if (await this.explain(message.phone_number_id, message.id)) return
    } catch (err) {
      if (!(err instanceof EngineUnreachable))
        this.log.warn({ err, message_id: message.id }, 'a look into the engine failed')
      // An engine that cannot be asked has not said no: the same look is made again.
      return reports.setNextLook(this.db, message.id, new Date(now.getTime() + 30_000))
    }
    await this.goOn(message, now)
  }

  /** No hit is no proof that it was not sent, so only the caller's own wish resends. */
  private async goOn(message: reports.Unconfirmed, now: Date): Promise<void> {
    if (message.on_ambiguous === 'retry' && message.looks >= RETRY_AT_LOOK) {
      await this.db.transaction(async (tx) => {
        await lanes.lock(tx, [message.phone_number_id])
        if (await reports.requeue(tx, message.id)) await lanes.makeDue(tx, [message.phone_number_id])
      })
      this.bus.tell('lanes.due', {})
      return
    }
    const pause = LOOKS_AFTER[message.looks - 1]
    await reports.setNextLook(this.db, message.id, pause === undefined ? null : new Date(now.getTime() + pause * 1000))
  }

  private async explain(phoneNumberId: number, messageId: number): Promise<boolean> {
    const confirmed = await this.db.transaction(async (tx) => {
      await lanes.lock(tx, [phoneNumberId])
      const found = await confirmExplained(tx, [phoneNumberId])
      await events.record(tx, found.map(statusEvent))
      return found
    })
    for (const { id } of confirmed) this.bus.tell('message.changed', { id })
    return confirmed.some(({ id }) => id === messageId)
  }

  private findInEngine({ server_instance, engine_name, starts_at }: reports.Unconfirmed): Promise<FoundMessage[]> {
    const window = { from: new Date(starts_at.getTime() - 5_000), to: new Date(Date.now() + 5_000) }
    return this.pool.client(server_instance).findMessages(engine_name, { from_me: true, ...window })
  }

  private async rememberStored(message: reports.Unconfirmed, found: FoundMessage[]): Promise<void> {
    const { phone_number_id, generation } = message
    const ours = found
      .filter(({ source }) => source === undefined || source === SOURCE)
      .map(({ key, ...row }) => ({ phone_number_id, whatsapp_id: key.id, key, row }))
    await this.db.transaction(async (tx) => {
      await lanes.lock(tx, [phone_number_id])
      const known = await reports.findKnownIds(tx, ours)
      const fresh = ours.filter(({ whatsapp_id }) => !known.has(`${phone_number_id} ${whatsapp_id}`))
      await earlyReceipts.insert(
        tx,
        fresh.flatMap(({ whatsapp_id, key, row }) => {
          const { type, content } = contentOf(row.messageType, row.message, row.contextInfo)
          const sending = {
            generation,
            recipient: address(key.remoteJid),
            fingerprint: fingerprintOf(type, content),
            sent_at: new Date(row.messageTimestamp * 1000),
          }
          const statuses = (row.MessageUpdate ?? []).flatMap(({ status }) => RECEIPTS[status] ?? [])
          return [
            { phone_number_id, whatsapp_id, status: 'sent' as const, sending },
            ...statuses.map((status) => ({ phone_number_id, whatsapp_id, status })),
          ]
        }),
      )
    })
  }
}

/** Confirms what the reports of the engine explain, with its statistics and receipts. The lanes must be locked. */
export async function confirmExplained(tx: Queryable, phoneNumberIds: number[]): Promise<Changed[]> {
  const explained = await reports.findExplained(tx, phoneNumberIds)
  if (explained.length === 0) return []
  const confirmed = await reports.confirm(tx, explained)
  await account(tx, confirmed)
  const receipts = await earlyReceipts.take(
    tx,
    confirmed.map(({ phone_number_id, whatsapp_id }) => ({ phone_number_id, whatsapp_id: whatsapp_id! })),
  )
  const further = await reports.applyReceipts(tx, receipts)
  return [...new Map([...confirmed, ...further].map((message) => [message.id, message])).values()]
}
