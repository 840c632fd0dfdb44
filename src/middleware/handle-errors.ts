import type { ErrorRequestHandler, Request, Response } from 'express'
import { AppError, invalidRequest, unavailable } from '../errors.js'
import type { Logger } from '../logger.js'

/** Turns every error into the one shape of an error answer; what was not foreseen is logged and told as 500. */
export function handleErrors(log: Logger, isOutage: (err: unknown) => boolean): ErrorRequestHandler {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- Express knows an error handler by its four parameters
  return (err: unknown, req, res, _next) => {
    if (res.headersSent) return breakOff(err, req, res, log)
    const error = asAppError(err, isOutage)
    if (error.status >= 500)
      log[error.code === 'internal_error' ? 'error' : 'warn']({ err, request_id: req.id }, error.message)
    if (error.options.retry_after_seconds !== undefined)
      res.set('Retry-After', String(error.options.retry_after_seconds))
    if (error.code === 'payload_too_large' && !isSoonOver(req)) res.set('Connection', 'close')
    const { code, message, options } = error
    res
      .status(error.status)
      .json({ success: false, error: { code, message, details: options.details, request_id: req.id } })
  }
}

/** As large as Nginx lets through. */
const READ_BYTES = 32 * 1024 * 1024

/**
 * Whether the rest of a refused body is read and dropped: whoever hangs up on one who still sends can lose the answer.
 * More than that, or a body without end, is not waited for.
 */
const isSoonOver = (req: Request) => Number(req.get('content-length') ?? Infinity) <= READ_BYTES

/** Half an answer cannot become an error any more: the caller learns it from the broken connection. */
function breakOff(err: unknown, req: Request, res: Response, log: Logger) {
  const code = err instanceof Error && 'code' in err ? err.code : undefined
  const hasLeft = code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR'
  if (!hasLeft) log.error({ err, request_id: req.id }, 'an answer could not be finished')
  res.destroy()
}

function asAppError(err: unknown, isOutage: (err: unknown) => boolean): AppError {
  if (err instanceof AppError) return err
  if (isOutage(err)) return unavailable('The database does not answer. Try again in a few seconds.', err)
  return asBodyError(err) ?? new AppError('internal_error', 'Something went wrong on our side.', { cause: err })
}

/** What Express's parsers throw carries a `type`; a wrong percent sign in the path is a plain URIError. */
function asBodyError(err: unknown): AppError | undefined {
  if (err instanceof URIError) return invalidRequest('The address is not valid: check its percent signs.')
  const type = err instanceof Error && 'type' in err ? err.type : undefined
  const status = err instanceof Error && 'status' in err ? err.status : undefined
  if (type === 'entity.too.large') return new AppError('payload_too_large', 'The body is larger than this call takes.')
  if (type === 'entity.parse.failed') return invalidRequest('The body is not valid JSON.')
  if (typeof status === 'number' && status >= 400 && status < 500)
    return invalidRequest('The request could not be read.')
  return undefined
}
