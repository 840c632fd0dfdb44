import type { PhoneNumber } from '../db/phone-numbers.js'

/** How somebody wants to link: with the QR code, or with a code typed on the phone of this number. */
export interface Wish {
  pairing_number?: string
}

/** A code this old was not replaced: the engine has stopped trying. */
const STALE_QR_MS = 30_000
/** A connection that has shown no code for so long will not: it is begun anew … */
const NO_QR_MS = 60_000
/** … and again when it has shown none for as long as those before it together, or this long: WhatsApp may be away. */
const MAX_NO_QR_MS = 15 * 60_000
/** With these the engine's instance would connect but never receive again. */
const LOST_SESSION = new Set(['logged_out', 'restricted_by_whatsapp', 'server_lost', 'instance_lost', 'suspended'])

type Need = 'nothing' | 'socket' | 'new_instance'

/** What it takes to show a code. Numbers that show one, or reconnect by themselves, need no further socket. */
export function needOf(phone: PhoneNumber, wish: Wish, now: Date): Need {
  if (isAlive(phone)) return 'nothing'
  if (phone.parked_at) return 'socket'
  if (wish.pairing_number !== undefined && wish.pairing_number !== phone.pairing_number)
    return phone.status === 'created' ? 'socket' : 'new_instance' // the number counts only where no socket is open
  return needForQr(phone, now)
}

function needForQr(phone: PhoneNumber, now: Date): Need {
  const age = now.getTime() - phone.status_changed_at.getTime()
  switch (phone.status) {
    case 'created':
      return 'socket'
    case 'connecting':
      return age > patienceWith(phone) ? 'new_instance' : 'nothing'
    case 'disconnected':
      return LOST_SESSION.has(phone.status_reason ?? '') ? 'new_instance' : 'socket'
    default:
      return phone.qr_expires_at!.getTime() < now.getTime() - STALE_QR_MS ? 'socket' : 'nothing'
  }
}

/** How long a connection may show no code, in milliseconds. */
function patienceWith({ status_changed_at, codeless_since }: PhoneNumber): number {
  const before = codeless_since ? status_changed_at.getTime() - codeless_since.getTime() : 0
  return Math.min(Math.max(before, NO_QR_MS), MAX_NO_QR_MS)
}

type State = Pick<PhoneNumber, 'status' | 'status_reason'>

const isReconnecting = (phone: State) => phone.status === 'disconnected' && phone.status_reason === 'reconnecting'

/** It has a session: it is connected, or comes back without a scan. */
export const isAlive = (phone: State): boolean => phone.status === 'connected' || isReconnecting(phone)

/** It comes back only when somebody links it. */
export function needsScan({ status, status_reason }: State): boolean {
  if (status !== 'disconnected') return status !== 'connected'
  return status_reason === 'qr_expired' || LOST_SESSION.has(status_reason ?? '')
}

export function hasFreshQr(phone: PhoneNumber): boolean {
  return phone.qr_code !== null && phone.qr_expires_at !== null && phone.qr_expires_at.getTime() > Date.now()
}

export const hasPairingCode = (phone: PhoneNumber): boolean => hasFreshQr(phone) && phone.pairing_code !== null

/** Why there is no code to show, and what to do. */
export function whyNoQr(phone: PhoneNumber, now = new Date()): { reason: string; advice: string } {
  if (phone.status === 'connected')
    return { reason: 'already_connected', advice: 'This number is linked; there is nothing to scan.' }
  if (isReconnecting(phone))
    return {
      reason: 'reconnecting',
      advice: 'Its session is being restored. To link it anew: POST /api/phone-numbers/{id}/logout first.',
    }
  const age = now.getTime() - phone.status_changed_at.getTime()
  if (phone.status === 'connecting' && age > NO_QR_MS / 2)
    return {
      reason: 'engine_shows_none',
      advice:
        'The engine gets no code from WhatsApp. A request after a minute begins anew, later ones after pauses that grow to a quarter of an hour; if that does not help, the operator must look at the internet connection and the version of the Evolution server.',
    }
  return { reason: 'being_made', advice: 'Ask again in a few seconds, or with ?wait=30.' }
}
