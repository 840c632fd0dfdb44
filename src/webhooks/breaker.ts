const SECOND = 1000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE

/** So many different deliveries that failed in a row mean that the receiver is down, not that one event displeases it. */
export const OPENS_AFTER = 10
const FIRST_PAUSE_MS = 30 * SECOND
const LONGEST_PAUSE_MS = 15 * MINUTE
/** A receiver that asks for patience gets it for all its deliveries, but not longer than this. */
const LONGEST_RETRY_AFTER_MS = 15 * MINUTE
/** Without any success for so long, a webhook is disabled and its owner told … */
export const DISABLED_AFTER_MS = 5 * DAY
/** … by a delivery that was tried so often, over hours: a quiet receiver may have a bad moment days after one bad event. */
const TRIES_TO_DISABLE = 5

/** How a receiver is doing; all zero and null while it is well. */
export interface Health {
  failures: number
  last_failed: number | null
  failing_since: Date | null
  opened: number
  open_until: Date | null
}

export interface Tried {
  delivery_id: number
  /** Of its schedule: what fails again was counted when it failed first. */
  first: boolean
  ok: boolean
  /** It was the one attempt by which an open breaker tries the receiver. */
  probe: boolean
  /** When its outcome was known. */
  at: Date
  /** What the receiver asked for with 429 or 503, in ms; 0 if it did not. */
  retry_after_ms: number
}

const WELL: Health = { failures: 0, last_failed: null, failing_since: null, opened: 0, open_until: null }

/** The health after an attempt. One success closes the breaker, whatever was before. */
export function afterAttempt(health: Health, tried: Tried): Health {
  if (tried.ok) return { ...WELL }
  const isNew = tried.first && health.last_failed !== tried.delivery_id
  const failures = health.failures + (isNew ? 1 : 0)
  const since = health.failing_since ?? tried.at
  const failing = { ...health, failures, last_failed: tried.delivery_id, failing_since: since }
  const open_until = tried.probe ? null : health.open_until
  const asked = Math.min(tried.retry_after_ms, LONGEST_RETRY_AFTER_MS)
  const opens = failures >= OPENS_AFTER || health.opened > 0
  // Attempts that were in flight when it opened say nothing new.
  const isOpen = health.opened > 0 && !tried.probe
  if (!opens || isOpen) return { ...failing, open_until: asked > 0 ? later(open_until, tried.at, asked) : open_until }
  const backOff = Math.min(FIRST_PAUSE_MS * 2 ** health.opened, LONGEST_PAUSE_MS)
  return { ...failing, opened: health.opened + 1, open_until: later(null, tried.at, Math.max(backOff, asked)) }
}

/** Whether it is time to stop trying for good, after a failure of a delivery that has been tried `tries` times. */
export const isHopeless = (health: Health, tries: number, now: Date): boolean =>
  hasFailedTooLong(health, now) && (health.failures >= OPENS_AFTER || tries >= TRIES_TO_DISABLE)

export function hasFailedTooLong(health: Pick<Health, 'failing_since'>, now: Date): boolean {
  return health.failing_since !== null && now.getTime() - health.failing_since.getTime() >= DISABLED_AFTER_MS
}

function later(present: Date | null, at: Date, ms: number): Date {
  const then = new Date(at.getTime() + ms)
  return present && present > then ? present : then
}
