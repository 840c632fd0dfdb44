import { DISABLED_AFTER_MS, type Health, OPENS_AFTER, afterAttempt, hasFailedTooLong, isHopeless } from './breaker.js'

const WELL: Health = { failures: 0, last_failed: null, failing_since: null, opened: 0, open_until: null }
const at = new Date('2026-11-22T08:00:00Z')
const tried = (delivery_id: number, more: object = {}) => ({
  delivery_id,
  first: true,
  ok: false,
  probe: false,
  at,
  retry_after_ms: 0,
  ...more,
})
const failing = (n: number, health = WELL) => Array.from({ length: n }, (_, i) => tried(i)).reduce(afterAttempt, health)
const openFor = ({ open_until }: Health) => (open_until ? open_until.getTime() - at.getTime() : null)

it('opens at the tenth different delivery that fails in a row, and not before', () => {
  expect(openFor(failing(OPENS_AFTER - 1))).toBeNull()
  expect(openFor(failing(OPENS_AFTER))).toBe(30_000)
})

it('counts one delivery that fails again and again as one', () => {
  const health = Array.from({ length: 50 }, () => tried(7)).reduce(afterAttempt, WELL)
  expect(health).toMatchObject({ failures: 1, open_until: null, failing_since: at })
})

it('counts two that fail in turn, however often, as two', () => {
  const health = Array.from({ length: 50 }, (_, n) => tried(n % 2, { first: n < 2 })).reduce(afterAttempt, WELL)
  expect(health).toMatchObject({ failures: 2, open_until: null })
})

it('stays open 30 s, then twice as long after each probe that fails, 15 minutes at most', () => {
  let health = failing(OPENS_AFTER)
  const pauses = Array.from({ length: 7 }, (_, n) => {
    health = afterAttempt(health, tried(100 + n, { probe: true }))
    return openFor(health)! / 1000
  })
  expect(pauses).toEqual([60, 120, 240, 480, 900, 900, 900])
})

it('is not opened further by attempts that were in flight when it opened', () => {
  const open = failing(OPENS_AFTER)
  expect(afterAttempt(open, tried(99))).toMatchObject({ opened: 1, open_until: open.open_until })
})

it('closes with one success, and forgets', () => {
  expect(afterAttempt(failing(OPENS_AFTER + 3), tried(1, { ok: true, probe: true }))).toEqual(WELL)
})

it('gives a receiver the time it asks for, within 15 minutes', () => {
  expect(openFor(afterAttempt(WELL, tried(1, { retry_after_ms: 120_000 })))).toBe(120_000)
  expect(openFor(afterAttempt(WELL, tried(1, { retry_after_ms: 86_400_000 })))).toBe(900_000)
})

it('loses hope after five days without a success', () => {
  const health = failing(1)
  expect(hasFailedTooLong(health, new Date(at.getTime() + DISABLED_AFTER_MS - 1))).toBe(false)
  expect(hasFailedTooLong(health, new Date(at.getTime() + DISABLED_AFTER_MS))).toBe(true)
  expect(hasFailedTooLong(WELL, at)).toBe(false)
})

it('gives up for one delivery only after hours of it, and after many at once', () => {
  const later = new Date(at.getTime() + DISABLED_AFTER_MS)
  expect([1, 4, 5].map((tries) => isHopeless(failing(2), tries, later))).toEqual([false, false, true])
  expect(isHopeless(failing(OPENS_AFTER), 1, later)).toBe(true)
  expect(isHopeless(failing(OPENS_AFTER), 12, at)).toBe(false)
})

it('ends a pause that was asked for with its probe, also where that fails', () => {
  const paused = afterAttempt(WELL, tried(1, { retry_after_ms: 120_000 }))
  expect(afterAttempt(paused, tried(2, { probe: true })).open_until).toBeNull()
})
