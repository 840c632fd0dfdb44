import type { Bus } from '../cache/bus.js'
import { BEGIN_BY_KEYS, type Database, type Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import type { NewEvent } from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as queue from '../db/message-queue.js'
import * as reports from '../db/message-reports.js'
import * as numberStates from '../db/number-states.js'
import * as stats from '../db/stats.js'
import { isRestricted } from './acknowledgements.js'
import { type EngineEvent, type Phone, type Told, attribute, lockOwners, withoutRepeats } from './attribution.js'
import { dayIn } from './days.js'
import type { EngineMessage } from './engine-events.js'
import { hasMedia } from './engine-payloads.js'
import { statusEvent } from './message-view.js'
import { publicEvent } from './public-events.js'
import { applyReports, changeEvents, isReport } from './told-changes.js'
import { moveLanes, moveNumbers } from './told-states.js'

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
