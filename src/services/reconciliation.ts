import type { Bus } from '../cache/bus.js'
import { EngineUnreachable } from '../clients/engine-http.js'
import type { FoundMessage } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database, Queryable } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import * as events from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as reports from '../db/message-reports.js'
import type { Changed } from '../db/messages.js'
import * as unconfirmed from '../db/unconfirmed-messages.js'
import type { Unconfirmed } from '../db/unconfirmed-messages.js'
import type { Logger } from '../logger.js'
import { addressesOf, momentOf, receiptOf } from './engine-events.js'
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
/** An engine that could not be asked is asked again so soon … */
const ASK_AGAIN_MS = 30_000
/** … until the send is so old. */
const GIVE_UP_MS = 86_400_000

type Asked = 'answered' | 'silent' | 'failed'

/** Finds out what became of sends whose answer was lost: in what the engine reported, then in what it has stored. */
export class Reconciliation {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly bus: Bus,
    private readonly log: Logger,
  ) {}

  /** Looks for what is due, in all engines at the same time; answers how many were looked for. */
  async runDue(now?: Date): Promise<number> {
    const due = await unconfirmed.claim(this.db, 20, now)
    const servers = [...new Set(due.map((message) => message.server_instance))]
    await Promise.all(
      servers.map((server) =>
        this.lookInto(
          due.filter((message) => message.server_instance === server),
          now ?? new Date(),
        ),
      ),
    )
    return due.length
  }

  /** One after the other; a server that is silent once is not waited for again in this round. */
  private async lookInto(due: Unconfirmed[], now: Date): Promise<void> {
    let silent = false
    for (const message of due) {
      if (await this.explain(message.phone_number_id, message.id)) continue
      const asked: Asked = silent ? 'silent' : await this.ask(message)
      silent = asked === 'silent'
      if (asked === 'answered' && (await this.explain(message.phone_number_id, message.id))) continue
      // An engine that cannot be asked has not said no: the same look is made again. A lost instance never answers.
      if (asked === 'answered' || message.gone) await this.goOn(message, now)
      else await this.lookAgain(message, now)
    }
  }

  private async ask(message: Unconfirmed): Promise<Asked> {
    try {
      await this.rememberStored(message, await this.findInEngine(message))
      return 'answered'
    } catch (err) {
      if (err instanceof EngineUnreachable) return 'silent'
      this.log.warn({ err, message_id: message.id }, 'a look into the engine failed')
      return 'failed'
    }
  }

  private lookAgain({ id, looks, starts_at }: Unconfirmed, now: Date): Promise<void> {
    const tooOld = now.getTime() - starts_at.getTime() > GIVE_UP_MS
    return unconfirmed.setNextLook(this.db, id, looks - 1, tooOld ? null : new Date(now.getTime() + ASK_AGAIN_MS))
  }

  /** No hit is no proof that it was not sent, so only the caller's own wish resends. */
  private async goOn(message: Unconfirmed, now: Date): Promise<void> {
    const { id, looks } = message
    if (message.on_ambiguous === 'retry' && looks >= RETRY_AT_LOOK && (await this.sendAgain(message))) return
    const pause = LOOKS_AFTER[looks - 1]
    const at = pause === undefined ? null : new Date(now.getTime() + pause * 1000)
    await unconfirmed.setNextLook(this.db, id, looks, at)
  }

  /** False where the number is deleted: in its lane the message would wait for ever. */
  private async sendAgain({ id, phone_number_id }: Unconfirmed): Promise<boolean> {
    const open = await this.db.transaction(async (tx) => {
      const [lane] = await lanes.lock(tx, [phone_number_id])
      if (!lane || lane.closed) return false
      if (await unconfirmed.requeue(tx, id)) await lanes.makeDue(tx, [phone_number_id])
      return true
    })
    if (open) this.bus.tell('lanes.due', {})
    return open
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

  private findInEngine({ server_instance, engine_name, starts_at }: Unconfirmed): Promise<FoundMessage[]> {
    const window = { from: new Date(starts_at.getTime() - 5_000), to: new Date(Date.now() + 5_000) }
    return this.pool.client(server_instance).findMessages(engine_name, { from_me: true, ...window })
  }

  private async rememberStored(message: Unconfirmed, found: FoundMessage[]): Promise<void> {
    const { phone_number_id, generation } = message
    const ours = found
      .filter(({ source }) => source === undefined || source === SOURCE)
      .map(({ key, ...row }) => ({ phone_number_id, whatsapp_id: key.id, key, row }))
    await this.db.transaction(async (tx) => {
      await lanes.lock(tx, [phone_number_id])
      const known = await reports.findChats(tx, ours)
      const fresh = ours.filter(({ whatsapp_id }) => !known.has(`${phone_number_id} ${whatsapp_id}`))
      await earlyReceipts.insert(
        tx,
        fresh.flatMap(({ whatsapp_id, key, row }) => {
          const { type, content } = contentOf(row.messageType, row.message, row.contextInfo)
          const sending = {
            generation,
            recipient: addressesOf(key, key.remoteJid).chat,
            fingerprint: fingerprintOf(type, content),
            sent_at: momentOf(row.messageTimestamp),
          }
          const statuses = (row.MessageUpdate ?? []).flatMap(({ status }) => receiptOf(status) ?? [])
          return [
            { phone_number_id, whatsapp_id, status: 'sent' as const, sending },
            ...statuses.map((status) => ({ phone_number_id, whatsapp_id, status })),
          ]
        }),
      )
    })
  }
}

/**
 * Confirms what the reports of the engine explain, or those that have just been told, with its statistics and receipts. The
 * lanes must be locked.
 */
export async function confirmExplained(
  tx: Queryable,
  phoneNumberIds: number[],
  told?: reports.Receipt[],
): Promise<Changed[]> {
  const explained = await unconfirmed.findExplained(tx, phoneNumberIds, told)
  if (explained.length === 0) return []
  const confirmed = await unconfirmed.confirm(tx, explained)
  await account(tx, confirmed)
  const receipts = await earlyReceipts.take(
    tx,
    confirmed.map(({ phone_number_id, whatsapp_id }) => ({ phone_number_id, whatsapp_id: whatsapp_id! })),
  )
  const further = await reports.applyReceipts(tx, receipts)
  return [...new Map([...confirmed, ...further].map((message) => [message.id, message])).values()]
}
