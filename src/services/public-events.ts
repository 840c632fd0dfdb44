import { randomBytes } from 'node:crypto'
import type { NewEvent } from '../db/events.js'

/** Every public event type so far; docs/webhooks.md has an example of each. */
export const EVENT_TYPES = [
  'message.received',
  'message.sent_from_phone',
  'message.status',
  'message.edited',
  'message.deleted',
  'phone_number.qr',
  'phone_number.connected',
  'phone_number.disconnected',
] as const

export type EventType = (typeof EVENT_TYPES)[number]

/** What a webhook gets when it does not say. */
export const DEFAULT_EVENT_TYPES: EventType[] = [
  'message.received',
  'phone_number.connected',
  'phone_number.disconnected',
]

export interface EventSubject {
  id: number
  user_id: number
  display_name: string
  phone_number: string | null
  metadata: Record<string, unknown>
}

/** Version 1 of the payload: fields may be added, never changed or removed. */
export function publicEvent(
  type: EventType,
  phone: EventSubject,
  data: Record<string, unknown>,
  at = new Date(),
): NewEvent {
  const id = `evt_${randomBytes(16).toString('base64url')}`
  return {
    public_id: id,
    user_id: phone.user_id,
    phone_number_id: phone.id,
    type,
    payload: (position) =>
      JSON.stringify({
        id,
        type,
        version: '1',
        timestamp: at.toISOString(),
        position,
        phone_number: {
          id: phone.id,
          display_name: phone.display_name,
          phone_number: phone.phone_number,
          metadata: phone.metadata,
        },
        data,
      }),
  }
}
