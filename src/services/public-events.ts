import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../db/events.js'
import { invalidRequest } from '../errors.js'

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
  'phone_number.degraded',
  'phone_number.restricted',
  'usage.threshold',
  'plan.expiring',
  'plan.expired',
  'webhook.disabled',
  'gap',
] as const

export type EventType = (typeof EVENT_TYPES)[number]

/** Throws `invalid_request` for types that do not exist; `hint` says what to write instead, before the list of all. */
export function refuseUnknownTypes(types: string[] = [], hint = 'Leave it out for all, or use some of'): void {
  const known: readonly string[] = EVENT_TYPES
  const unknown = types.filter((type) => !known.includes(type))
  if (unknown.length === 0) return
  const named = unknown.map((type) => `"${type.slice(0, 60)}"`).join(', ')
  const message = `There is no event type ${named}. ${hint}: ${EVENT_TYPES.join(', ')}.`
  throw invalidRequest(message, [{ path: 'event_types', message }])
}

/** What a webhook gets when it does not say. */
export const DEFAULT_EVENT_TYPES: EventType[] = [
  'message.received',
  'phone_number.connected',
  'phone_number.disconnected',
]

/** Whom an event is about: a phone number, or its user alone. */
export type EventSubject = { user_id: number } | PhoneSubject

interface PhoneSubject {
  id: number
  user_id: number
  display_name: string
  phone_number: string | null
  metadata: Record<string, unknown>
}

/** Version 1 of the payload: fields may be added, never changed or removed. */
export function publicEvent(
  type: EventType,
  subject: EventSubject,
  data: Record<string, unknown>,
  at = new Date(),
): NewEvent {
  const id = `evt_${newKey()}`
  const phone = 'id' in subject ? subject : undefined
  return {
    public_id: id,
    user_id: subject.user_id,
    phone_number_id: phone?.id ?? null,
    type,
    payload: [
      `${JSON.stringify({ id, type, version: '1', timestamp: at }).slice(0, -1)},"position":`,
      `,${JSON.stringify({ phone_number: phone ? presentSubject(phone) : null, data }).slice(1)}`,
    ],
  }
}

/** 122 random bits. A UUID comes from a stock of random bytes; asking the system each time costs as much as all the rest. */
const newKey = () => Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')

const presentSubject = ({ id, display_name, phone_number, metadata }: PhoneSubject) => ({
  id,
  display_name,
  phone_number,
  metadata,
})
