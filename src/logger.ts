import { pino } from 'pino'

export type Logger = pino.Logger

/** Names under which a secret or somebody's private words could reach a log line by mistake. */
const PRIVATE = new Set([
  'api_key',
  'apikey',
  'x-api-key',
  'password',
  'old_password',
  'new_password',
  'password_hash',
  'token',
  'access_token',
  'secret',
  'webhook_secret',
  'authorization',
  'recipient',
  'number',
  'text',
  'caption',
  'qr_code',
  'pairing_code',
])

/** JSON lines on standard output. error: a human must act; warn: worth a look; info: one line per request. */
export function createLogger(level: string, destination: pino.DestinationStream = output()): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: (entry) => withoutPrivate(entry, DEPTH) },
    serializers: { err: describeError },
  }
  return pino(options, destination)
}

/** What is kept for a file that cannot grow; later lines are lost. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024

/**
 * Lines go out together, some pages at a time or after a moment; pino writes what is left at the exit. A file that cannot
 * grow loses lines, which is no reason to stop serving, nor to stay when asked to stop: pino would try until it can.
 */
function output(): pino.DestinationStream {
  const batches = { minLength: 12_288, maxLength: MAX_KEPT_BYTES, periodicFlush: 200 }
  const destination = pino.destination({ dest: 1, sync: false, ...batches })
  const flushSync = destination.flushSync.bind(destination)
  destination.on('error', () => (destination.flushSync = () => undefined))
  destination.on('drain', () => (destination.flushSync = flushSync))
  return destination
}

/** Waits until all lines are written, or one could not be: after that the exit no longer tries. */
export const flushLog = (log: Logger): Promise<void> => new Promise((resolve) => log.flush(() => resolve()))

/** How deep a private name is looked for. */
const DEPTH = 3

/**
 * Answers the same object when nothing in it is private, as in nearly every line. pino's own redaction by paths with
 * wildcards did half of all allocations of a send.
 */
function withoutPrivate<Entry extends object>(entry: Entry, depth: number): Entry {
  let changed: Record<string, unknown> | undefined
  for (const name of Object.keys(entry)) {
    const value: unknown = entry[name as keyof Entry]
    const shown: unknown = PRIVATE.has(name)
      ? '[private]'
      : isData(value) && depth > 1
        ? withoutPrivate(value, depth - 1)
        : value
    if (shown === value) continue
    changed ??= (Array.isArray(entry) ? [...entry] : { ...entry }) as Record<string, unknown>
    changed[name] = shown
  }
  return (changed as Entry | undefined) ?? entry
}

/** Errors are described by their serializer. */
const isData = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !(value instanceof Error)

/** An error without the properties libraries hang on it: axios keeps headers there, and those hold the global key. */
function describeError(err: unknown) {
  if (!(err instanceof Error)) return { message: String(err) }
  const code = 'code' in err ? err.code : undefined
  const cause = err.cause instanceof Error ? err.cause.message : undefined
  return { type: err.name, message: err.message, code, cause, stack: err.stack }
}
