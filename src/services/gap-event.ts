import type { NewEvent } from '../db/events.js'
import { type EventSubject, publicEvent } from './public-events.js'

/** Servers are checked every 10 s; one miss is no outage. */
export const OUTAGE_SECONDS = 30
/** Events that were in flight or being repeated when the silence began. */
export const MARGIN_SECONDS = 120

interface Missed {
  from: Date
  to: Date
  reason: 'engine_not_answering' | 'too_many_messages' | 'instance_removed'
  /** Messages that were fetched. */
  fetched: number
}

/** What could not be fetched is told. */
export function gapEvent(phone: EventSubject, missed: Missed): NewEvent {
  const advice = 'Messages that arrived in this time may be missing here. They are on the phone.'
  return publicEvent('gap', phone, { ...missed, advice })
}
