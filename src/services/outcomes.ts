import { type EngineAnswer, type EngineUnreachable, isGateways } from '../clients/engine-http.js'

/**
 * How a send ended, as far as anybody can know. The classes follow what a stand-in for WhatsApp really received for
 * each answer of Evolution 2.3.6; whatever is not listed is ambiguous.
 */
export type Outcome =
  | { kind: 'sent'; whatsapp_id: string }
  /** Certainly not sent, and worth trying again when the cause is gone. */
  | { kind: 'wait'; reason: WaitReason; text: string }
  /** Certainly not sent, and never will be. */
  | { kind: 'failed'; code: FailureCode; message: string }
  /** It may have gone out: never resend blindly. */
  | { kind: 'ambiguous'; text: string; reason?: 'server_unreachable' }

export type WaitReason = 'server_unreachable' | 'server_refused' | 'number_disconnected' | 'engine_error'
export type FailureCode = 'recipient_not_on_whatsapp' | 'media_rejected' | 'invalid_request' | 'engine_error'

// Whole texts: a database error after the write may quote any words.
const NOT_CONNECTED = /^(Error: )?Connection Closed$|^(TypeError: )?Cannot read [^;]*\(reading '(id|onWhatsApp)'\)$/
const SAFE_400 = /^(Error: )?1006$|^(Error: )?(SessionError: )?No sessions$/
/** What a server says that does not have the instance: another one has it, or it has just started. */
const NOT_LOADED = /^Cannot read properties of undefined \(reading '(\w+Message|audioWhatsapp|mediaSticker)'\)$/
const BUSINESS_400 =
  /^(Text is required|number is required|Invalid integration|token is required|Reaction must be a single emoji or empty string)$/
const MEDIA_400 =
  /^(Owned media must be a url(, base64, or valid file with buffer| or base64)|For base64 the file name must be informed\.)$/

export function judgeAnswer(answer: EngineAnswer, to: { group: boolean }): Outcome {
  const { status, body } = answer
  if (status >= 200 && status < 300) return judgeSuccess(body)
  const text = flatten(body)
  if (status === 401 || status === 403 || status === 429 || member(body, 'code') === 'LICENSE_REQUIRED')
    return { kind: 'wait', reason: 'server_refused', text }
  // Whoever says it, engine or proxy: it has not taken the request in.
  if (status === 413)
    return { kind: 'failed', code: 'media_rejected', message: 'The engine does not take a file of this size.' }
  if (!isEvolutionShaped(body, status)) {
    const unclear = { kind: 'ambiguous' as const, text: `${status} ${text}`.slice(0, 200) }
    return isGateways(status) ? { ...unclear, reason: 'server_unreachable' } : unclear
  }
  if (status === 404) return { kind: 'wait', reason: 'number_disconnected', text }
  // Evolution turns whatever fails in or after the write into a 400, so its own 500 came before it.
  if (status === 500) {
    const away = NOT_CONNECTED.test(text) || NOT_LOADED.test(text)
    return { kind: 'wait', reason: away ? 'number_disconnected' : 'engine_error', text }
  }
  if (status === 400) return judgeRefusal(body, text, to)
  return { kind: 'ambiguous', text }
}

export function judgeSilence(err: EngineUnreachable): Outcome {
  return err.written
    ? { kind: 'ambiguous', text: err.code }
    : { kind: 'wait', reason: 'server_unreachable', text: err.code }
}

function judgeSuccess(body: unknown): Outcome {
  const id = member(member(body, 'key'), 'id')
  if (typeof id === 'string' && id !== '') return { kind: 'sent', whatsapp_id: id }
  return { kind: 'ambiguous', text: 'success without a message id' }
}

function judgeRefusal(body: unknown, text: string, to: { group: boolean }): Outcome {
  if (NOT_CONNECTED.test(text)) return { kind: 'wait', reason: 'number_disconnected', text }
  if (SAFE_400.test(text)) return { kind: 'wait', reason: 'engine_error', text }
  if (isNotOnWhatsApp(body)) {
    return { kind: 'failed', code: 'recipient_not_on_whatsapp', message: 'This recipient has no WhatsApp account.' }
  }
  if (to.group && text === '[object Object]') {
    const message = 'This phone number is not a member of that group, or the group does not exist.'
    return { kind: 'failed', code: 'recipient_not_on_whatsapp', message }
  }
  if (MEDIA_400.test(text))
    return { kind: 'failed', code: 'media_rejected', message: 'The engine cannot use this file.' }
  if (BUSINESS_400.test(text) || isSchemaViolation(body)) {
    return { kind: 'failed', code: 'invalid_request', message: 'The engine refused the content of this message.' }
  }
  return { kind: 'ambiguous', text }
}

/** `response.message` of an Evolution error, which is a text, a list, a list of lists or a list with an object. */
function flatten(body: unknown): string {
  if (typeof body === 'string') return body
  const message = member(member(body, 'response'), 'message') ?? member(body, 'message') ?? member(body, 'error')
  return [message]
    .flat(3)
    .map((item) => (typeof item === 'string' ? item : JSON.stringify(item ?? '')))
    .join('; ')
}

function isEvolutionShaped(body: unknown, status: number): boolean {
  return member(body, 'status') === status && member(member(body, 'response'), 'message') !== undefined
}

function isNotOnWhatsApp(body: unknown): boolean {
  const message = member(member(body, 'response'), 'message')
  return Array.isArray(message) && message.some((item) => member(item, 'exists') === false)
}

function isSchemaViolation(body: unknown): boolean {
  const message = member(member(body, 'response'), 'message')
  return Array.isArray(message) && message.some((item) => Array.isArray(item))
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}
