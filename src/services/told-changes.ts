import type { Queryable } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import type { EarlyReceipt } from '../db/early-receipts.js'
import * as reports from '../db/message-reports.js'
import type { Changed } from '../db/messages.js'
import { recordAcknowledgements } from './acknowledgements.js'
import type { EngineEvent, News, Phone, Told } from './attribution.js'
import { statusEvent } from './message-view.js'
import { publicEvent } from './public-events.js'
import { confirmExplained } from './reconciliation.js'

/** Receipts, and sends whose own answer may be lost; what belongs to no known message yet is kept for it. */
export async function applyReports(tx: Queryable, told: Told[]): Promise<Changed[]> {
  const receipts = told.flatMap(reportOf)
  if (receipts.length === 0) return []
  const ids = [...new Set(receipts.map((receipt) => receipt.phone_number_id))]
  const known = await reports.findChats(tx, receipts)
  const early = receipts.filter(({ phone_number_id, whatsapp_id }) => !known.has(`${phone_number_id} ${whatsapp_id}`))
  await earlyReceipts.insert(tx, early)
  const confirmed = early.length > 0 ? await confirmExplained(tx, ids, early) : []
  const received = await reports.applyReceipts(tx, receipts)
  await recordAcknowledgements(tx, received)
  return [...confirmed, ...received]
}

/** What was reported of messages from the phone before they came themselves: under load one report in ten overtakes. */
export async function applyEarly(tx: Queryable, typed: Key[]): Promise<Changed[]> {
  return typed.length === 0 ? [] : reports.applyReceipts(tx, await earlyReceipts.take(tx, typed))
}

/** Each where the last word on its message was, and so not before the message itself. */
export function statusNews(told: Told[], changed: Changed[]): News[] {
  const places = new Map<string, number>()
  for (const { phone, fact, place } of told) {
    const id = fact.kind === 'message' ? fact.message.whatsapp_id : 'whatsapp_id' in fact ? fact.whatsapp_id : undefined
    if (id !== undefined) places.set(`${phone.id} ${id}`, place)
  }
  return changed.map((message) => {
    const place = places.get(`${message.phone_number_id} ${message.whatsapp_id}`) ?? Number.MAX_SAFE_INTEGER
    return { place, event: statusEvent(message) }
  })
}

export const isReport = (fact: EngineEvent['fact']) => fact.kind === 'receipt' || fact.kind === 'sending'

function reportOf({ phone, fact, generation }: Told): EarlyReceipt[] {
  const phone_number_id = phone.id
  if (fact.kind === 'receipt') return [{ phone_number_id, whatsapp_id: fact.whatsapp_id, status: fact.status }]
  if (fact.kind !== 'sending') return []
  const { whatsapp_id, recipient, fingerprint, sent_at } = fact
  return [{ phone_number_id, whatsapp_id, status: 'sent', sending: { generation, recipient, fingerprint, sent_at } }]
}

/**
 * Edits and deletions. The chat is that of the message when we know it: an edit of the other side names the chat as they
 * see it, which is our own number.
 */
export async function changeNews(tx: Queryable, told: Told[]): Promise<News[]> {
  const changes = told.flatMap(({ phone, fact, place }) =>
    fact.kind === 'edited' || fact.kind === 'deleted' ? [{ phone, fact, place, ...keyOf(phone, fact) }] : [],
  )
  const chats = await reports.findChats(tx, changes)
  return changes.map(({ phone, fact, place, phone_number_id, whatsapp_id }) => {
    const chat = chats.get(`${phone_number_id} ${whatsapp_id}`) ?? fact.chat
    const message = { whatsapp_id, chat }
    if (fact.kind === 'deleted') return { place, event: publicEvent('message.deleted', phone, { message }) }
    const edited = { ...message, content: { text: fact.text } }
    return { place, event: publicEvent('message.edited', phone, { message: edited }) }
  })
}

interface Key {
  phone_number_id: number
  whatsapp_id: string
}

export const keyOf = (phone: Phone, { whatsapp_id }: { whatsapp_id: string }): Key => ({
  phone_number_id: phone.id,
  whatsapp_id,
})
