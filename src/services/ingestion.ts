import type { Bus } from '../cache/bus.js'
import { BEGIN_BY_KEYS, type Database, type Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as queue from '../db/message-queue.js'
import * as reports from '../db/message-reports.js'
import * as numberStates from '../db/number-states.js'
import * as stats from '../db/stats.js'
import { isRestricted } from './acknowledgements.js'
import {
  type EngineEvent,
  type News,
  type Phone,
  type Told,
  attribute,
  lockOwners,
  withoutRepeats,
} from './attribution.js'
import { dayIn } from './days.js'
import type { EngineMessage } from './engine-events.js'
import { hasMedia } from './engine-payloads.js'
import { publicEvent } from './public-events.js'
import { applyEarly, applyReports, changeNews, isReport, keyOf, statusNews } from './told-changes.js'
import { moveLanes, moveNumbers } from './told-states.js'

/**
 * Writes what the engine told in one commit: number state, messages, statistics, events with their positions, and the
 * deliveries owed for them, in the order in which it told. Repeats and unknown instances change nothing.
 */
export async function ingest(
  db: Database,
  bus: Bus,
  batch: EngineEvent[],
  isNobodys: (engineName: string) => void,
): Promise<void[]> {
  const begin = batch.some(({ fact }) => isReport(fact) || isOwn(fact)) ? BEGIN_BY_KEYS : 'begin'
  const touched = await db.transaction(async (tx) => {
    const [fresh, owners] = await Promise.all([withoutRepeats(tx, batch), lockOwners(tx, batch)])
    const told = attribute(fresh, owners, isNobodys)
    const moved = moveNumbers(told)
    const [, stored] = await Promise.all([
      lanes.lock(tx, lanesOf(told, moved.lanes)),
      storeMessages(tx, told),
      numberStates.saveEngineStates(tx, [...moved.states.values()]),
    ])
    const typed = stored.filter(({ message }) => message.from_me).map(({ phone, message }) => keyOf(phone, message))
    const received = [...(await applyReports(tx, told)), ...(await applyEarly(tx, typed))]
    await welcome(tx, stored)
    const news = [
      ...moved.news,
      ...stored.map(arrivalNews),
      ...statusNews(told, received),
      ...(await changeNews(tx, told)),
    ]
    const inOrder = news.sort((one, other) => one.place - other.place).map(({ event }) => event)
    // Lanes before statistics before feeds: the order in which settlements take them.
    await tx.commitWith(
      Promise.all([moveLanes(tx, moved.lanes), stats.add(tx, stored.map(trafficOf)), events.record(tx, inOrder)]),
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
  place: number
  id: number
}

/** Answers those that are new. */
async function storeMessages(tx: Queryable, told: Told[]): Promise<Stored[]> {
  const arrivals = told.flatMap(({ phone, fact, place }) =>
    fact.kind === 'message' ? [{ phone, message: fact.message, place }] : [],
  )
  const ids = await reports.insertFromEngine(
    tx,
    arrivals.map(({ phone, message }) => rowOf(phone, message)),
  )
  return arrivals.flatMap(({ phone, message, place }) => {
    const key = `${phone.id} ${message.whatsapp_id}`
    const id = ids.get(key)
    // Told twice in one batch, in other words or by the engine's store as well: the row is that of the first.
    return id !== undefined && ids.delete(key) ? [{ phone, message, place, id }] : []
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
    ({ phone, fact }) =>
      isReport(fact) || isOwn(fact) || (fact.kind === 'message' && freesContact(phone, fact.message)),
  )
  return [...new Set([...concerned.map(({ phone }) => phone.id), ...moves.keys()])]
}

/** Reports about it may have come already. */
const isOwn = (fact: EngineEvent['fact']) => fact.kind === 'message' && fact.message.from_me

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

function arrivalNews({ phone, message, place, id }: Stored): News {
  const event = publicEvent(message.from_me ? 'message.sent_from_phone' : 'message.received', phone, {
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
  return { place, event }
}
