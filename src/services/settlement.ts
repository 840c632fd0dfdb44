import { BEGIN_BY_KEYS, type Database, type Queryable } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import * as events from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as media from '../db/media.js'
import * as outgoing from '../db/outgoing-messages.js'
import * as reports from '../db/message-reports.js'
import * as messages from '../db/messages.js'
import type { Changed, Message } from '../db/messages.js'
import * as stats from '../db/stats.js'
import * as usage from '../db/usage.js'
import { recordAcknowledgements } from './acknowledgements.js'
import { dayIn } from './days.js'
import { hasMedia } from './engine-payloads.js'
import { statusEvent } from './message-view.js'
import { NUMBER_DELETED, endWaiting } from './queue.js'

/** The end of one engine call: what the message becomes, and what its lane does next. */
export interface Ending extends outgoing.Outcome {
  user_id: number
  phone_number_id: number
  gap_factor: number
  blocked_reason: string | null
}

interface Options {
  /** The gap between two messages of a number that has none of its own. */
  gap_seconds: number
  /** Who takes the next message, which may have another id than when it took this one; null: it is left to others. */
  process_id: number | null
}

export interface Settled {
  /** As it is now; undefined when it was not this claim's any more. */
  message: Message | undefined
  next: outgoing.Claimed | undefined
}

/**
 * Writes the ends of sends in one commit: the outcome, its statistics, refund and event, and the lane's next message,
 * which starts sending without a commit of its own. Statements that need no answer of each other travel together.
 */
export async function settle(db: Database, endings: Ending[], options: Options): Promise<Settled[]> {
  return db.transaction(async (tx) => {
    const [locked, ended, early] = await Promise.all([
      lockInOrder(tx, endings),
      outgoing.settle(tx, endings),
      takeEarlyReceipts(tx, endings),
    ])
    const left = await endUnsendable(tx, ended, locked)
    const received = await applyEarlyReceipts(tx, early)
    const renewed = await messages.findEachOwned(tx, [...left, ...received])
    const news = [...ended.filter((message) => message.status !== 'queued'), ...received].map(statusEvent)
    const [next] = await tx.commitWith(
      Promise.all([lanes.moveOn(tx, releasesOf(endings, ended), options), account(tx, ended), events.record(tx, news)]),
    )
    const now = new Map([...ended, ...renewed].map((message) => [message?.id, message]))
    const claims = new Map(next.map((claimed) => [claimed.phone_number_id, claimed]))
    // The ending that frees the lane starts what comes next; one that comes late beside it must not start it again.
    const holders = new Map(locked.map((lane) => [lane.phone_number_id, lane.in_flight]))
    return endings.map(({ id, phone_number_id }) => ({
      message: now.get(id),
      next: holders.get(phone_number_id) === id ? claims.get(phone_number_id) : undefined,
    }))
  }, BEGIN_BY_KEYS)
}

/** Usage first, lanes second, messages third: the order of everybody who needs more than one of them. */
async function lockInOrder(tx: Queryable, endings: Ending[]): Promise<lanes.Lane[]> {
  const refunds = endings.filter((ending) => ending.status === 'failed').map((ending) => ending.id)
  const numbers = endings.map((ending) => ending.phone_number_id)
  const [, locked] = await Promise.all([usage.lockOf(tx, refunds), lanes.lock(tx, numbers)])
  return locked
}

/** What comes back unsent to a number that is deleted meanwhile would wait for ever. */
async function endUnsendable(tx: Queryable, ended: outgoing.Ended[], locked: lanes.Lane[]): Promise<outgoing.Ended[]> {
  const closed = new Set(locked.filter((lane) => lane.closed).map((lane) => lane.phone_number_id))
  const left = ended.filter((message) => message.status === 'queued' && closed.has(message.phone_number_id))
  if (left.length > 0) await endWaiting(tx, left, NUMBER_DELETED)
  return left
}

/** Statistics for what was sent, refunds for what never will be, and no bytes kept for either. */
export async function account(tx: Queryable, changed: Changed[]): Promise<void> {
  const now = new Date()
  const sent = changed.filter((message) => message.status === 'sent')
  const traffic = sent.map((message) => ({
    phone_number_id: message.phone_number_id,
    date: dayIn(message.time_zone, now),
    direction: 'sent' as const,
    media: hasMedia(message.type),
  }))
  const failed = changed.filter((message) => message.status === 'failed' && message.quota_day !== null)
  const charges = failed.map((message) => ({ user_id: message.user_id, day: message.quota_day! }))
  const ended = changed.filter((message) => hasMedia(message.type) && ['sent', 'failed'].includes(message.status))
  const files = ended.map((message) => message.id)
  await Promise.all([stats.add(tx, traffic), usage.refund(tx, charges), media.remove(tx, files)])
}

async function applyEarlyReceipts(tx: Queryable, early: reports.Receipt[]): Promise<Changed[]> {
  const received = await reports.applyReceipts(tx, early)
  await recordAcknowledgements(tx, received)
  return received
}

/** Of messages that have their WhatsApp id now; what was refused leaves its receipts where they are. */
function takeEarlyReceipts(tx: Queryable, endings: Ending[]): Promise<reports.Receipt[]> {
  return earlyReceipts.take(
    tx,
    endings.flatMap(({ phone_number_id, whatsapp_id }) => (whatsapp_id ? [{ phone_number_id, whatsapp_id }] : [])),
  )
}

/** Of what was written only: an outcome that came too late must not free the lane of the present claim. */
function releasesOf(endings: Ending[], ended: outgoing.Ended[]): lanes.Release[] {
  const written = new Set(ended.map((message) => message.id))
  return endings
    .filter(({ id }) => written.has(id))
    .map(({ id, phone_number_id, gap_factor, blocked_reason }) => {
      return { message_id: id, phone_number_id, gap_factor, blocked_reason }
    })
}
