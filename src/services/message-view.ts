import type { Changed, Message } from '../db/messages.js'
import type { NewEvent } from '../db/events.js'
import { AppError, type ErrorCode } from '../errors.js'
import { publicEvent } from './public-events.js'

type Viewed = Pick<
  Message,
  | 'id'
  | 'phone_number_id'
  | 'direction'
  | 'type'
  | 'recipient'
  | 'status'
  | 'whatsapp_id'
  | 'error_code'
  | 'error_message'
  | 'warning'
>

/** The part of a message that answers and events share. */
export function viewOf(message: Viewed) {
  return {
    id: message.id,
    phone_number_id: message.phone_number_id,
    direction: message.direction,
    type: message.type,
    recipient: message.recipient,
    status: message.status,
    whatsapp_id: message.whatsapp_id,
    warning: message.warning,
    error: message.error_code ? { code: message.error_code, message: message.error_message } : null,
  }
}

export function statusEvent(message: Changed): NewEvent {
  const { phone_number_id: id, user_id, display_name, phone_number, metadata } = message
  const phone = { id, user_id, display_name, phone_number, metadata }
  return publicEvent('message.status', phone, { message: viewOf(message) })
}

const FINAL_CODES: ErrorCode[] = [
  'recipient_not_on_whatsapp',
  'media_rejected',
  'invalid_request',
  'refused_by_whatsapp',
]

/** The error a caller gets who waited for a message that failed. */
export function failureOf(message: Message): AppError {
  const code = FINAL_CODES.find((final) => final === message.error_code) ?? 'unavailable'
  const quota = message.refunded ? ' Your quota was not charged.' : ''
  return new AppError(code, `${message.error_message ?? 'The message failed.'}${quota}`, {
    details: { message: viewOf(message) },
  })
}
