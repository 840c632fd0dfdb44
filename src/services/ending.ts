import type { Held } from '../db/outgoing-messages.js'
import type { Outcome } from './outcomes.js'
import type { Ending } from './settlement.js'

/** Answers of the engine that blame itself, in a row, before a message is given up. */
const MAX_ENGINE_ERRORS = 5

const UNCONFIRMED = {
  status: 'unconfirmed' as const,
  error_code: 'no_clear_answer',
  error_message:
    'The engine did not say clearly whether this message went out, so it may or may not have arrived. It is not sent again by itself.',
}

const GIVEN_UP = {
  status: 'failed' as const,
  error_code: 'engine_error',
  error_message: 'The engine failed five times in a row on this message. It was not sent.',
}

/** What an outcome means for its message and its lane; without one nothing was posted, and it keeps its place. */
export function endingOf(message: Held, outcome: Outcome | undefined): Ending {
  const base = {
    id: message.id,
    attempts: message.attempts,
    process_id: message.process_id,
    user_id: message.user_id,
    phone_number_id: message.phone_number_id,
    whatsapp_id: null,
    error_code: null,
    error_message: null,
    engine_error: false,
    gap_factor: jitter(),
    blocked_reason: null,
    status: 'queued' as const,
  }
  if (!outcome) return { ...base, gap_factor: 0 }
  switch (outcome.kind) {
    case 'sent':
      return { ...base, status: 'sent', whatsapp_id: outcome.whatsapp_id }
    case 'failed':
      return { ...base, status: 'failed', error_code: outcome.code, error_message: outcome.message }
    case 'ambiguous':
      // Those behind it must not meet the same, one after the other.
      return { ...base, ...UNCONFIRMED, blocked_reason: outcome.reason ?? null }
    case 'wait':
      return { ...base, ...waiting(message, outcome.reason) }
  }
}

function waiting({ engine_errors }: Held, reason: string) {
  const engine_error = reason === 'engine_error'
  if (engine_error && engine_errors + 1 >= MAX_ENGINE_ERRORS) return { ...GIVEN_UP, engine_error }
  return { blocked_reason: reason, engine_error }
}

/** ±25 %, so that a number does not write like a clock. */
const jitter = () => 0.75 + Math.random() / 2
