import type { Bus } from '../cache/bus.js'
import { BEGIN_BY_KEYS, type Database, type Queryable } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import type { EarlyReceipt } from '../db/early-receipts.js'
import * as events from '../db/events.js'
import type { NewEvent } from '../db/events.js'
import * as ingressRows from '../db/ingress.js'
import * as lanes from '../db/lanes.js'
import * as queue from '../db/message-queue.js'
import * as reports from '../db/message-reports.js'
import type { Changed } from '../db/messages.js'
import * as numberStates from '../db/number-states.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber, Zone } from '../db/phone-numbers.js'
import * as stats from '../db/stats.js'
import { dayIn } from './days.js'
import type { EngineMessage, Fact } from './engine-events.js'
import { instancesNamed, namesOf } from './engine-names.js'
import { hasMedia } from './engine-payloads.js'
import { statusEvent } from './message-view.js'
import { type Transition, transition } from './number-state.js'
import { publicEvent } from './public-events.js'
import { isRestricted, recordAcknowledgements } from './acknowledgements.js'
import { confirmExplained } from './reconciliation.js'

export interface EngineEvent {
  engine_name: string
  key: Buffer
  fact: Exclude<Fact, { kind: 'ignored' }>
}

type Phone = PhoneNumber & Zone
type Told = EngineEvent & { phone: Phone; generation: number; current: boolean }

/**
 * Writes what the engine told in one commit: number state, messages, statistics, events with their positions, and the
 * deliveries owed for them. Repeats and unknown instances change nothing.
 */
export async function ingest(db: Database, bus: Bus, batch: EngineEvent[]): Promise<void[]> {
  const begin = batch.some(({ fact }) => isReport(fact)) ? BEGIN_BY_KEYS : 'begin'
  const touched = await db.transaction(async (tx) => {
    const [fresh, owners] = await Promise.all([withoutRepeats(tx, batch), lockOwners(tx, batch)])
    const told = attribute(fresh, owners)
    const moved = moveNumbers(told)
    const [, stored] = await Promise.all([
      lanes.lock(tx, lanesOf(told, moved.lanes)),
      storeMessages(tx, told),
      numberStates.saveEngineStates(tx, [...moved.states.values()]),
    ])
    const received = await applyReports(tx, told)
    await welcome(tx, stored)
    const arrivals = stored.map(({ phone, message, id }) => arrivalEvent(phone, message, id))
    const news = [...moved.events, ...arrivals, ...received.map(statusEvent), ...(await changeEvents(tx, told))]
    // Lanes before statistics before feeds: the order in which settlements take them.
    await tx.commitWith(
      Promise.all([moveLanes(tx, moved.lanes), stats.add(tx, stored.map(trafficOf)), events.record(tx, news)]),
    )
    return { numbers: [...moved.states.keys()], messages: received.map((message) => message.id) }
  }, begin)
  for (const id of touched.numbers) bus.tell('phone_number.changed', { id })
  for (const id of touched.messages) bus.tell('message.changed', { id })
  return batch.map(() => undefined)
}

async function withoutRepeats(tx: Queryable, batch: EngineEvent[]): Promise<EngineEvent[]> {
  const distinct = [...new Map(batch.map((event) => [event.key.toString('hex'), event])).values()]
  const fresh = await ingressRows.rememberKeys(
    tx,
    distinct.map((event) => event.key),
  )
  return distinct.filter((event) => fresh.has(event.key.toString('hex')))
}

async function lockOwners(tx: Queryable, batch: EngineEvent[]): Promise<Map<string, Phone>> {
  const names = batch.flatMap((event) => instancesNamed(event.engine_name))
  const rows = await phoneNumbers.lockByInstances(tx, [...new Set(names)])
  return new Map(rows.map((row) => [row.instance_name, row]))
}

/** Finds whose events these are; those of deleted or unknown instances are dropped, as the engine goes on for a while. */
function attribute(batch: EngineEvent[], owners: Map<string, Phone>): Told[] {
  return batch.flatMap((event) => {
    const name = namesOf(event.engine_name).find(({ instance }) => owners.has(instance))
    if (!name) return []
    const phone = owners.get(name.instance)!
    const { generation } = name
    return [Object.assign(event, { phone, generation, current: generation === phone.engine_generation })]
  })
}

/** Plays the state facts of each number in the order they came; facts of an earlier generation are not applied. */
function moveNumbers(told: Told[]) {
  const states = new Map<number, PhoneNumber>()
  const news: NewEvent[] = []
  const laneMoves = new Map<number, Transition['lane']>()
  for (const { phone, fact, current } of told) {
    if (!current) continue
    const now = new Date()
    const before = states.get(phone.id) ?? phone
    if (fact.kind !== 'state' && fact.kind !== 'qr' && fact.kind !== 'qr_limit') {
      const received = fact.kind === 'message' && !fact.message.from_me && isStale(before.last_received_at, now)
      if (received) states.set(phone.id, { ...before, last_event_at: now, last_received_at: now })
      else if (isStale(before.last_event_at, now)) states.set(phone.id, { ...before, last_event_at: now })
      continue
    }
    if (isOfLostSession(before, fact)) continue
    const { state, events: raised, lane } = transition(before, fact, now)
    states.set(phone.id, { ...before, ...state })
    news.push(...raised)
    if (lane) laneMoves.set(phone.id, lane)
  }
  return { states, events: news, lanes: laneMoves }
}

/** An event that was repeated for a while comes after newer ones; nothing opens again on a session that is over. */
const isOfLostSession = ({ status, status_reason }: PhoneNumber, fact: Fact) =>
  status === 'disconnected' &&
  (status_reason === 'logged_out' || status_reason === 'restricted_by_whatsapp') &&
  (fact.kind === 'qr' || (fact.kind === 'state' && fact.state === 'open'))

/** The time of the last event is good to a few seconds: no row is rewritten for each message. */
const isStale = (at: Date | null, now: Date) => at === null || now.getTime() - at.getTime() > 5_000

interface Stored {
  phone: Phone
  message: EngineMessage
  id: number
}

/** Answers those that are new. */
async function storeMessages(tx: Queryable, told: Told[]): Promise<Stored[]> {
  const arrivals = told.flatMap(({ phone, fact }) =>
    fact.kind === 'message' ? [{ phone, message: fact.message }] : [],
  )
  const ids = await reports.insertFromEngine(
    tx,
    arrivals.map(({ phone, message }) => rowOf(phone, message)),
  )
  return arrivals.flatMap(({ phone, message }) => {
    const key = `${phone.id} ${message.whatsapp_id}`
    const id = ids.get(key)
    // Told twice in one batch, in other words or by the engine's store as well: the row is that of the first.
    return id !== undefined && ids.delete(key) ? [{ phone, message, id }] : []
  })
}

const trafficOf = ({ phone, message }: Stored): stats.Traffic => ({
  phone_number_id: phone.id,
  date: dayIn(phone.time_zone, new Date()),
  direction: message.from_me ? 'sent' : 'received',
  media: hasMedia(message.type),
})

/**
 * All lanes this batch may have to do with, so that they are locked in one go and in the order of everybody. Those of
 * reports are among them: a settlement holds the lane too, so either it sees the receipt that is kept here, or we see
 * the id it has written.
 */
function lanesOf(told: Told[], moves: Map<number, unknown>): number[] {
  const concerned = told.filter(
    ({ phone, fact }) => isReport(fact) || (fact.kind === 'message' && freesContact(phone, fact.message)),
  )
  return [...new Set([...concerned.map(({ phone }) => phone.id), ...moves.keys()])]
}

const freesContact = (phone: Phone, message: EngineMessage) => !message.from_me && isRestricted(phone)

/** Whoever writes to us is no new contact any more; what waits for them may go out even in a restricted lane. */
async function welcome(tx: Queryable, stored: Stored[]): Promise<void> {
  const contacts = stored.filter(({ phone, message }) => freesContact(phone, message))
  if (contacts.length === 0) return
  const freed = await queue.markKnown(
    tx,
    contacts.map(({ phone, message }) => ({
      user_id: phone.user_id,
      phone_number_id: phone.id,
      recipient: message.chat,
    })),
  )
  await lanes.makeDue(tx, freed)
}

function rowOf(phone: Phone, message: EngineMessage): reports.FromEngine {
  const { lid, participant, participant_jid, sender_name } = message
  const named = participant_jid ? { participant_jid } : {}
  return {
    user_id: phone.user_id,
    phone_number_id: phone.id,
    direction: message.from_me ? 'outgoing' : 'incoming',
    source: message.from_me ? 'phone' : 'contact',
    type: message.type,
    recipient: message.chat,
    content: Object.assign({}, message.content, { lid, participant, sender_name }, named),
    status: message.status,
    whatsapp_id: message.whatsapp_id,
    sent_at: message.sent_at,
  }
}

function arrivalEvent(phone: Phone, message: EngineMessage, id: number): NewEvent {
  return publicEvent(message.from_me ? 'message.sent_from_phone' : 'message.received', phone, {
    message: {
      id,
      phone_number_id: phone.id,
      direction: message.from_me ? 'outgoing' : 'incoming',
      type: message.type,
      from: message.from_me ? phone.phone_number : (message.participant ?? message.chat),
      chat: message.chat,
      lid: message.lid,
      group: message.chat.endsWith('@g.us'),
      sender_name: message.sender_name,
      whatsapp_id: message.whatsapp_id,
      content: message.content,
      sent_at: message.sent_at,
    },
  })
}

/** Receipts, and sends whose own answer may be lost; what belongs to no known message yet is kept for it. */
async function applyReports(tx: Queryable, told: Told[]): Promise<Changed[]> {
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

const isReport = (fact: EngineEvent['fact']) => fact.kind === 'receipt' || fact.kind === 'sending'

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
async function changeEvents(tx: Queryable, told: Told[]): Promise<NewEvent[]> {
  const changes = told.flatMap(({ phone, fact }) =>
    fact.kind === 'edited' || fact.kind === 'deleted' ? [{ phone, fact, ...keyOf(phone, fact) }] : [],
  )
  const chats = await reports.findChats(tx, changes)
  return changes.map(({ phone, fact, phone_number_id, whatsapp_id }) => {
    const chat = chats.get(`${phone_number_id} ${whatsapp_id}`) ?? fact.chat
    if (fact.kind === 'deleted') return publicEvent('message.deleted', phone, { message: { whatsapp_id, chat } })
    const content = { text: fact.text }
    return publicEvent('message.edited', phone, { message: { whatsapp_id, chat, content } })
  })
}

const keyOf = (phone: Phone, { whatsapp_id }: { whatsapp_id: string }) => ({ phone_number_id: phone.id, whatsapp_id })

async function moveLanes(tx: Queryable, moves: Map<number, Transition['lane']>) {
  const idsOf = (move: Transition['lane']) => [...moves].filter(([, lane]) => lane === move).map(([id]) => id)
  await Promise.all([lanes.block(tx, idsOf('block'), 'number_disconnected'), lanes.unblock(tx, idsOf('unblock'))])
}
