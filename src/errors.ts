/** Every way a request can fail on purpose. The code is the contract; the message is for people. */
const STATUS_BY_CODE = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  plan_limit_reached: 403,
  plan_expired: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  email_taken: 409,
  phone_number_not_connected: 409,
  payload_too_large: 413,
  recipient_not_on_whatsapp: 422,
  media_rejected: 422,
  idempotency_mismatch: 422,
  refused_by_whatsapp: 422,
  quota_exceeded: 429,
  rate_limited: 429,
  internal_error: 500,
  unavailable: 503,
  no_capacity: 503,
} as const

export type ErrorCode = keyof typeof STATUS_BY_CODE

/** `message` and `details` reach the caller; private facts go in `cause` and reach only the log. */
export class AppError extends Error {
  override name = 'AppError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly options: { details?: unknown; cause?: unknown; retry_after_seconds?: number } = {},
  ) {
    super(message, { cause: options.cause })
  }

  get status(): number {
    return STATUS_BY_CODE[this.code]
  }
}

export const invalidRequest = (message: string, details?: unknown) =>
  new AppError('invalid_request', message, { details })
export const notFound = (noun: string) =>
  new AppError('not_found', `There is no such ${noun}. Check the id, and that the API key belongs to its owner.`)
export const methodNotAllowed = (allowed: string) =>
  new AppError('method_not_allowed', `This address takes ${allowed}. docs/api.md lists all calls.`)
export const noSuchAddress = () => new AppError('not_found', 'There is no such address. docs/api.md lists them all.')
export const unauthorized = (message: string) => new AppError('unauthorized', message)
export const unavailable = (message: string, cause?: unknown) =>
  new AppError('unavailable', message, { cause, retry_after_seconds: 5 })
