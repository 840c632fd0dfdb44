import type { PhoneNumber } from '../db/phone-numbers.js'
import { QR_SECONDS, giveUpWaiting, transition } from './number-state.js'

const NOW = new Date('2026-05-05T05:05:05Z')
const FRESH = {
  id: 1,
  user_id: 1,
  display_name: 'Shop',
  metadata: {},
  status: 'created',
  status_reason: null,
  status_changed_at: new Date(0),
  reconnecting_since: null,
  phone_number: null,
  qr_code: null,
  qr_expires_at: null,
  first_connected_at: null,
  last_event_at: null,
  pairing_code: null,
  drops: 0,
  dropped_at: null,
  unstable_since: null,
  told_status: null,
} as unknown as PhoneNumber

type Fact = Parameters<typeof transition>[1]
const state = (name: 'open' | 'connecting' | 'closed', reason: number | null = null): Fact => ({
  kind: 'state',
  state: name,
  reason,
  phone_number: name === 'open' ? '628111' : null,
})
const qr = (image: string): Fact => ({ kind: 'qr', image, pairing_code: null })

/** Plays facts one after the other; answers the number and the types of all events. */
function play(...facts: Fact[]) {
  let phone = FRESH
  const types: string[] = []
  let lane: string | undefined
  for (const fact of facts) {
    const next = transition(phone, fact, NOW)
    phone = { ...phone, ...next.state }
    types.push(...next.events.map(({ type }) => type))
    lane = next.lane ?? lane
  }
  return { phone, types, lane }
}

it('goes from its creation over a QR code to connected', () => {
  const { phone, types, lane } = play(state('connecting'), qr('A'), qr('B'), state('connecting'), state('open'))
  expect(phone).toMatchObject({ status: 'connected', phone_number: '628111', first_connected_at: NOW, qr_code: null })
  expect(types).toEqual(['phone_number.qr', 'phone_number.qr', 'phone_number.connected'])
  expect(lane).toBe('unblock')
})

it('shows a QR code as long as it is valid, and each one once', () => {
  const { phone, types } = play(qr('A'), qr('A'))
  expect(phone).toMatchObject({ status: 'qr_ready', qr_code: 'A' })
  expect(phone.qr_expires_at!.getTime() - NOW.getTime()).toBe(QR_SECONDS * 1000)
  expect(types).toEqual(['phone_number.qr'])
})

it('takes no QR code, and no end of them, from a repeated event after the scan', () => {
  for (const late of [qr('A'), { kind: 'qr_limit' } as const])
    expect(play(qr('A'), state('open'), late).phone).toMatchObject({ status: 'connected', qr_code: null })
})

it('connecting changes nothing that is shown, but starts the grace of a connected number', () => {
  expect(play(qr('A'), state('connecting')).phone).toMatchObject({ status: 'qr_ready', reconnecting_since: null })
  const { phone, types } = play(state('open'), state('connecting'), state('connecting'))
  expect(phone).toMatchObject({ status: 'connected', reconnecting_since: NOW })
  expect(types).toEqual(['phone_number.connected'])
  expect(play(state('open'), state('connecting'), state('open')).phone.reconnecting_since).toBeNull()
  const gone = giveUpWaiting(phone, NOW)
  expect(gone.state).toMatchObject({ status: 'disconnected', status_reason: 'reconnecting' })
  expect(gone.lane).toBe('block')
})

it.each([
  [401, 'logged_out'],
  [402, 'restricted_by_whatsapp'],
  [403, 'restricted_by_whatsapp'],
  [406, 'restricted_by_whatsapp'],
])('an end with %d is %s, told once with advice, and holds the lane', (code, reason) => {
  const { phone, types, lane } = play(state('open'), state('closed', code), state('closed', code))
  expect(phone).toMatchObject({ status: 'disconnected', status_reason: reason, reconnecting_since: null })
  expect(types).toEqual(['phone_number.connected', 'phone_number.disconnected'])
  expect(lane).toBe('block')
})

it.each([408, 428, 440, 500, 503, 515])('an end with %d is no end: the engine connects again', (code) => {
  const { phone, types, lane } = play(state('open'), state('closed', code))
  expect(phone).toMatchObject({ status: 'connected', reconnecting_since: NOW })
  expect(types).toEqual(['phone_number.connected'])
  expect(lane).toBe('unblock')
})

it('a QR code nobody scans ends as qr_expired', () => {
  const { phone, types } = play(qr('A'), { kind: 'qr_limit' })
  expect(phone).toMatchObject({
    status: 'disconnected',
    status_reason: 'qr_expired',
    qr_code: null,
    qr_expires_at: null,
  })
  expect(types).toEqual(['phone_number.qr', 'phone_number.disconnected'])
})
