import type { Database, Queryable } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import * as events from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as media from '../db/media.js'
import * as queue from '../db/message-queue.js'
import * as reports from '../db/message-reports.js'
import type { Changed } from '../db/messages.js'
import * as stats from '../db/stats.js'
import * as usage from '../db/usage.js'
import { recordAcknowledgements } from './acknowledgements.js'
import { dayIn } from './days.js'
import { hasMedia } from './engine-payloads.js'
import { statusEvent } from './message-view.js'

/** The end of one engine call: what the message becomes, and what its lane does next. */
export interface Ending extends queue.Outcome {
  process_id: number
  user_id: number
  phone_number_id: number
  gap_factor: number
  blocked_reason: string | null
}

interface Options {
  /** The gap between two messages of a number that has none of its own. */
  gap_seconds: number
  /** Who takes the next message; an ending may still carry the id this process had before. */
  process_id: number
  /** False while stopping: what waits is left to others. */
  take_next: boolean
}

export interface Settled {
  message: Changed | undefined
  next: queue.Claimed | undefined
}

/**
 * Writes the ends of sends in one commit: the outcome, its statistics, refund and event, and the lane's next message,
 * which starts sending without a commit of its own.
 */
export async function settle(db: Database, endings: Ending[], options: Options): Promise<Settled[]> {
  return db.transaction(async (tx) => {
    await lockInOrder(tx, endings)
    const changed = await writeOutcomes(tx, endings)
    const [late] = await Promise.all([applyEarlyReceipts(tx, changed), account(tx, changed)])
    await recordAcknowledgements(
      tx,
      late.filter((message) => message.status === 'failed'),
    )
    const news = [...changed.filter((message) => message.status !== 'queued'), ...late].map(statusEvent)
    const [next] = await Promise.all([moveLanes(tx, endings, options), events.record(tx, news)])
    const latest = new Map([...changed, ...late].map((message) => [message.id, message]))
    return endings.map((ending) => ({
      message: latest.get(ending.id),
      next: next.find((claimed) => claimed.phone_number_id === ending.phone_number_id),
    }))
  })
}

/** Usage first, lanes second, messages third: the order of everybody who needs more than one of them. */
async function lockInOrder(tx: Queryable, endings: Ending[]) {
  const refunds = endings.filter((ending) => ending.status === 'failed').map((ending) => ending.user_id)
  if (refunds.length > 0) await usage.lockAll(tx, [...new Set(refunds)])
  await lanes.lock(
    tx,
    endings.map((ending) => ending.phone_number_id),
  )
}

async function writeOutcomes(tx: Queryable, endings: Ending[]) {
  const changed: Changed[] = []
  for (const [processId, group] of groupBy(endings, (ending) => ending.process_id))
    changed.push(...(await queue.settle(tx, processId, group)))
  return changed
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

async function applyEarlyReceipts(tx: Queryable, changed: Changed[]) {
  const named = changed.filter((message) => message.whatsapp_id !== null)
  const early = await earlyReceipts.take(
    tx,
    named.map(({ phone_number_id, whatsapp_id }) => ({ phone_number_id, whatsapp_id: whatsapp_id! })),
  )
  return reports.applyReceipts(tx, early)
}

async function moveLanes(tx: Queryable, endings: Ending[], options: Options): Promise<queue.Claimed[]> {
  const free = await lanes.release(
    tx,
    endings.map((ending) => ({
      phone_number_id: ending.phone_number_id,
      message_id: ending.id,
      gap_factor: ending.gap_factor,
      blocked_reason: ending.blocked_reason,
    })),
    options.gap_seconds,
  )
  if (!options.take_next || free.length === 0) return []
  return takeNextOf(tx, options.process_id, free)
}

/** Claims the next message of each of these locked lanes and writes what is in flight there now. */
export async function takeNextOf(tx: Queryable, processId: number, free: lanes.Lane[]): Promise<queue.Claimed[]> {
  const claimed = await queue.claimNext(tx, processId, free)
  const byLane = new Map(claimed.map((message) => [message.phone_number_id, message.id]))
  await lanes.setInFlight(
    tx,
    free.map(({ phone_number_id }) => ({ phone_number_id, in_flight: byLane.get(phone_number_id) ?? null })),
  )
  return claimed
}

function groupBy<Item, Key>(items: Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}
