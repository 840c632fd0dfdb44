import type { NewEvent } from '../db/events.js'
import type { EngineState, PhoneNumber } from '../db/phone-numbers.js'
import type { Fact } from './engine-events.js'
import { publicEvent } from './public-events.js'

/** A QR code is valid this long; Evolution sets it so. */
export const QR_SECONDS = 45

type StateFact = Extract<Fact, { kind: 'state' | 'qr' | 'qr_limit' }>

export interface Transition {
  state: EngineState
  events: NewEvent[]
  /** What it means for the lane, if anything. */
  lane?: 'block' | 'unblock'
}

/** Why a socket ended for good, in our words; other codes reconnect by themselves. */
const CLOSE_REASONS: Record<number, string> = {
  401: 'logged_out',
  402: 'restricted_by_whatsapp',
  403: 'restricted_by_whatsapp',
  406: 'restricted_by_whatsapp',
}

const ADVICE: Record<string, string> = {
  logged_out: 'The phone unlinked this device. Scan a new QR code: GET /api/phone-numbers/{id}/qr.',
  restricted_by_whatsapp: 'WhatsApp has ended this session. Look at the phone before you link again.',
  qr_expired: 'Nobody scanned the QR code in time. Ask for a new one: GET /api/phone-numbers/{id}/qr.',
  reconnecting: 'The connection to WhatsApp is lost and being rebuilt. Queued messages go out when it is back.',
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
      if (fact.state === 'connecting') return connecting(phone, state, now)
      return disconnect(phone, state, CLOSE_REASONS[fact.reason ?? 401] ?? 'logged_out', now)
  }
}

/** The engine has been opening sockets for too long: the number counts as disconnected until it is open again. */
export function giveUpWaiting(phone: PhoneNumber, now: Date): Transition {
  return disconnect(phone, { ...phone }, 'reconnecting', now)
}

function showQr(
  phone: PhoneNumber,
  state: EngineState,
  fact: { image: string; pairing_code: string | null },
  now: Date,
) {
  // A repeated webhook may arrive after the scan; a number that is connected has no QR code.
  if (phone.status === 'connected' || phone.qr_code === fact.image) return { state, events: [] }
  move(state, 'qr_ready', null, now)
  state.qr_code = fact.image
  state.qr_expires_at = new Date(now.getTime() + QR_SECONDS * 1000)
  const data = { qr_code: fact.image, qr_expires_at: state.qr_expires_at, pairing_code: fact.pairing_code }
  return { state, events: [publicEvent('phone_number.qr', { ...phone, ...state }, data, now)] }
}

function connect(phone: PhoneNumber, state: EngineState, phoneNumber: string | null, now: Date): Transition {
  const wasConnected = phone.status === 'connected'
  move(state, 'connected', null, now)
  state.phone_number = phoneNumber ?? phone.phone_number
  state.first_connected_at ??= now
  state.reconnecting_since = null
  state.qr_code = null
  state.qr_expires_at = null
  const data = { status: 'connected', phone_number: state.phone_number }
  const events = wasConnected ? [] : [publicEvent('phone_number.connected', { ...phone, ...state }, data, now)]
  return { state, events, lane: 'unblock' }
}

/** Fired at every socket attempt, also while a QR code is shown and in every short reconnect. */
function connecting(phone: PhoneNumber, state: EngineState, now: Date): Transition {
  if (phone.status === 'connected') state.reconnecting_since ??= now
  else if (phone.status === 'created') move(state, 'connecting', null, now)
  return { state, events: [] }
}

function disconnect(phone: PhoneNumber, state: EngineState, reason: string, now: Date): Transition {
  state.qr_code = null
  state.qr_expires_at = null
  state.reconnecting_since = null
  if (phone.status === 'disconnected' && phone.status_reason === reason) return { state, events: [] }
  move(state, 'disconnected', reason, now)
  const data = { status: 'disconnected', reason, advice: ADVICE[reason] }
  return { state, events: [publicEvent('phone_number.disconnected', { ...phone, ...state }, data, now)], lane: 'block' }
}

function move(state: EngineState, status: EngineState['status'], reason: string | null, now: Date) {
  if (state.status !== status || state.status_reason !== reason) state.status_changed_at = now
  state.status = status
  state.status_reason = reason
}
