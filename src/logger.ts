import { pino } from 'pino'

export type Logger = pino.Logger

/** Names under which a secret or somebody's private words could reach a log line by mistake. */
const PRIVATE = [
  'api_key',
  'apikey',
  'password',
  'token',
  'secret',
  'authorization',
  'recipient',
  'number',
  'text',
  'caption',
  'qr_code',
]

/** JSON lines on standard output. error: a human must act; warn: worth a look; info: one line per request or attempt. */
export function createLogger(level: string, destination: pino.DestinationStream = pino.destination(1)): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: PRIVATE.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[private]' },
    serializers: { err: describeError },
  }
  return pino(options, destination)
}

/** An error without the properties libraries hang on it: axios keeps headers there, and those hold the global key. */
function describeError(err: unknown) {
  if (!(err instanceof Error)) return { message: String(err) }
  const code = 'code' in err ? err.code : undefined
  const cause = err.cause instanceof Error ? err.cause.message : undefined
  return { type: err.name, message: err.message, code, cause, stack: err.stack }
}
