const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Pause in ms before each attempt, counted from the one before: twelve attempts over about 76 hours. */
export const PAUSES_MS: readonly number[] = [
  0,
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]

const JITTER = 0.2
const MAX_RETRY_AFTER_MS = 24 * HOUR
/** The two HTTP dates (RFC 9110 §5.6.7) that name their zone; Date.parse alone would accept almost anything. */
const HTTP_DATE = /^[A-Z][a-z]{2,8}, \d{2}[ -][A-Z][a-z]{2}[ -]\d{2,4} \d{2}:\d{2}:\d{2} GMT$/

/** When to try again after `attemptsMade` attempts, or undefined when the delivery is given up. */
export function nextAttemptAt(
  attemptsMade: number,
  now: Date,
  options: { retry_after?: string | undefined; random?: () => number } = {},
): Date | undefined {
  const pause = PAUSES_MS[attemptsMade]
  if (pause === undefined) return undefined
  const random = options.random ?? Math.random
  const jittered = Math.round(pause * (1 - JITTER + 2 * JITTER * random()))
  return new Date(now.getTime() + Math.max(jittered, retryAfterMs(options.retry_after, now)))
}

/** What a Retry-After header asks for in ms, at most 24 hours; 0 when it is missing, past or unreadable. */
export function retryAfterMs(header: string | undefined, now: Date): number {
  const text = header?.trim() ?? ''
  const asked = /^\d+$/.test(text) ? Number(text) * SECOND : untilDate(text, now)
  return Math.min(Math.max(asked, 0), MAX_RETRY_AFTER_MS)
}

function untilDate(text: string, now: Date): number {
  const at = HTTP_DATE.test(text) ? Date.parse(text.replace(/-/g, ' ')) : NaN
  return Number.isNaN(at) ? 0 : at - now.getTime()
}
