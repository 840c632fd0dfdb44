import type { Queryable } from '../db/database.js'
import * as laneGates from '../db/lane-gates.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { News, Told } from './attribution.js'
import type { Fact } from './engine-events.js'
import { type Transition, transition } from './number-state.js'

/** Plays the state facts of each number in the order they came; facts of an earlier generation are not applied. */
export function moveNumbers(told: Told[]) {
  const states = new Map<number, PhoneNumber>()
  const news: News[] = []
  const laneMoves = new Map<number, Transition['lane']>()
  for (const { phone, fact, current, place } of told) {
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
    news.push(...raised.map((event) => ({ place, event })))
    if (lane) laneMoves.set(phone.id, lane)
  }
  return { states, news, lanes: laneMoves }
}

/** An event that was repeated for a while comes after newer ones; nothing opens again on a session that is over. */
const isOfLostSession = ({ status, status_reason }: PhoneNumber, fact: Fact) =>
  status === 'disconnected' &&
  (status_reason === 'logged_out' || status_reason === 'restricted_by_whatsapp') &&
  (fact.kind === 'qr' || (fact.kind === 'state' && fact.state === 'open'))

/** The time of the last event is good to a few seconds: no row is rewritten for each message. */
const isStale = (at: Date | null, now: Date) => at === null || now.getTime() - at.getTime() > 5_000

export async function moveLanes(tx: Queryable, moves: Map<number, Transition['lane']>) {
  const idsOf = (move: Transition['lane']) => [...moves].filter(([, lane]) => lane === move).map(([id]) => id)
  await Promise.all([
    laneGates.block(tx, idsOf('block'), 'number_disconnected'),
    laneGates.unblock(tx, idsOf('unblock')),
  ])
}
