import type { NewEvent } from '../db/events.js'
import type { EngineState } from '../db/number-states.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { Fact } from './engine-events.js'
import { adviceFor } from './number-advice.js'
import { type EventType, publicEvent } from './public-events.js'

/** A QR code is valid this long; Evolution sets it so. */
export const QR_SECONDS = 45
/** Losses of the connection that follow each other within so long belong together … */
const FLAPPING_MS = 5 * 60_000
/** … and so many of them make a number unstable: told once, and then not each time it goes and comes. */
const FLAPS = 5

export type StateFact = Extract<Fact, { kind: 'state' | 'qr' | 'qr_limit' }>

export interface Transition {
  state: EngineState
  events: NewEvent[]
  /** What it means for the lane, if anything. */
  lane?: 'block' | 'unblock'
}

/** Why a socket ended for good, in our words. After every other code the engine connects again by itself. */
const CLOSE_REASONS: Record<number, string> = {
  401: 'logged_out',
  402: 'restricted_by_whatsapp',
  403: 'restricted_by_whatsapp',
  406: 'restricted_by_whatsapp',
}

/** What a fact of the engine makes of a number. Pure: the caller saves the state and records the events. */
export function transition(phone: PhoneNumber, fact: StateFact, now: Date): Transition {
  const state: EngineState = { ...phone, last_event_at: now }
  switch (fact.kind) {
    case 'qr':
      return showQr(phone, state, fact, now)
    case 'qr_limit':
      return phone.status === 'connected' ? { state, events: [] } : disconnect(phone, state, 'qr_expired', now)
    case 'state':
      if (fact.state === 'open') return connect(phone, state, fact.phone_number, now)
      return fact.state === 'closed' && isFinal(fact.reason)
        ? disconnect(phone, state, CLOSE_REASONS[fact.reason ?? 401]!, now)
        : connecting(phone, state, now)
  }
}

/** A number that is taken for logged out loses its session with the next QR code, so only what says so counts. */
const isFinal = (reason: number | null) => reason === null || Object.hasOwn(CLOSE_REASONS, reason)

/** The engine has been opening sockets for too long: the number counts as disconnected until it is open again. */
export function giveUpWaiting(phone: PhoneNumber, now: Date): Transition {
  return disconnect(phone, { ...phone }, 'reconnecting', now)
}

/** The session is gone, whoever ended it: somebody must link the number again. */
export function lose(phone: PhoneNumber, reason: string, now: Date): Transition {
  return disconnect(phone, { ...phone }, reason, now)
}

/** It has stayed as it is for a while: its user learns how it is, if that is not what was told last. */
export function calm(phone: PhoneNumber, now: Date): Transition {
  const state: EngineState = { ...phone, unstable_since: null, drops: 0 }
  const stands = phone.status === 'connected' ? 'connected' : 'disconnected'
  if (phone.told_status === stands) return { state, events: [] }
  if (stands === 'connected') return { state, events: tellConnected(phone, state, now) }
  return { state, events: tellDisconnected(phone, state, phone.status_reason ?? 'reconnecting', now) }
}

function showQr(
  phone: PhoneNumber,
  state: EngineState,
  fact: { image: string; pairing_code: string | null },
  now: Date,
): Transition {
  // A repeated webhook may arrive after the scan; a number that is connected has no QR code.
  if (phone.status === 'connected') return { state, events: [] }
  const known = phone.qr_code === fact.image
  if (known && (fact.pairing_code === null || phone.pairing_code === fact.pairing_code)) return { state, events: [] }
  move(state, 'qr_ready', null, now)
  state.qr_code = fact.image
  state.pairing_code = fact.pairing_code
  if (!known) state.qr_expires_at = new Date(now.getTime() + QR_SECONDS * 1000)
  const data = { qr_code: fact.image, qr_expires_at: state.qr_expires_at, pairing_code: fact.pairing_code }
  return { state, events: [publicEvent('phone_number.qr', { ...phone, ...state }, data, now)] }
}

function connect(phone: PhoneNumber, state: EngineState, phoneNumber: string | null, now: Date): Transition {
  move(state, 'connected', null, now)
  state.phone_number = phoneNumber ?? phone.phone_number
  state.first_connected_at ??= now
  state.reconnecting_since = null
  forgetCodes(state)
  const tell = phone.status !== 'connected' && phone.unstable_since === null
  return { state, events: tell ? tellConnected(phone, state, now) : [], lane: 'unblock' }
}

/** Fired at every socket attempt, also while a QR code is shown and in every short reconnect. */
function connecting(phone: PhoneNumber, state: EngineState, now: Date): Transition {
  if (phone.status === 'created') move(state, 'connecting', null, now)
  if (phone.status !== 'connected' || phone.reconnecting_since !== null) return { state, events: [] }
  state.reconnecting_since = now
  const together = phone.dropped_at !== null && now.getTime() - phone.dropped_at.getTime() < FLAPPING_MS
  state.drops = together ? phone.drops + 1 : 1
  state.dropped_at = now
  if (state.drops < FLAPS || phone.unstable_since !== null) return { state, events: [] }
  state.unstable_since = now
  const data = { reason: 'unstable', drops: state.drops, advice: adviceFor('unstable') }
  return { state, events: [event('phone_number.degraded', phone, state, data, now)] }
}

function disconnect(phone: PhoneNumber, state: EngineState, reason: string, now: Date): Transition {
  state.reconnecting_since = null
  forgetCodes(state)
  if (phone.status === 'disconnected' && phone.status_reason === reason) return { state, events: [] }
  move(state, 'disconnected', reason, now)
  if (reason === 'reconnecting' && phone.unstable_since !== null) return { state, events: [], lane: 'block' }
  state.unstable_since = null
  state.drops = 0
  return { state, events: tellDisconnected(phone, state, reason, now), lane: 'block' }
}

function tellConnected(phone: PhoneNumber, state: EngineState, now: Date): NewEvent[] {
  state.told_status = 'connected'
  const data = { status: 'connected', phone_number: state.phone_number }
  return [event('phone_number.connected', phone, state, data, now)]
}

function tellDisconnected(phone: PhoneNumber, state: EngineState, reason: string, now: Date): NewEvent[] {
  state.told_status = 'disconnected'
  const data = { status: 'disconnected', reason, advice: adviceFor(reason) }
  return [event('phone_number.disconnected', phone, state, data, now)]
}

const event = (type: EventType, phone: PhoneNumber, state: EngineState, data: Record<string, unknown>, now: Date) =>
  publicEvent(type, { ...phone, ...state }, data, now)

function forgetCodes(state: EngineState) {
  state.qr_code = null
  state.qr_expires_at = null
  state.pairing_code = null
}

function move(state: EngineState, status: EngineState['status'], reason: string | null, now: Date) {
  if (state.status !== status || state.status_reason !== reason) state.status_changed_at = now
  state.status = status
  state.status_reason = reason
}
