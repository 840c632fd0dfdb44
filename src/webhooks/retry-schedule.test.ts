import { nextAttemptAt, PAUSES_MS, retryAfterMs } from './retry-schedule.js'

const now = new Date('2026-03-01T10:00:00Z')
const middle = () => 0.5
const seconds = (at: Date | undefined) => (at!.getTime() - now.getTime()) / 1000
const HOUR = 3600

describe('the schedule', () => {
  test.each([
    [0, 0],
    [1, 5],
    [2, 30],
    [3, 120],
    [4, 600],
    [5, 1800],
    [6, 2 * HOUR],
    [7, 5 * HOUR],
    [8, 10 * HOUR],
    [9, 14 * HOUR],
    [10, 20 * HOUR],
    [11, 24 * HOUR],
  ])('after %i attempts waits %i seconds', (made, pause) => {
    expect(seconds(nextAttemptAt(made, now, { random: middle }))).toBe(pause)
  })

  test('gives up after twelve attempts, whatever Retry-After says', () => {
    expect(PAUSES_MS).toHaveLength(12)
    expect(nextAttemptAt(12, now)).toBeUndefined()
    expect(nextAttemptAt(13, now, { retry_after: '60' })).toBeUndefined()
  })

  test('is spread by 20 % to either side', () => {
    expect(seconds(nextAttemptAt(4, now, { random: () => 0 }))).toBe(480)
    expect(seconds(nextAttemptAt(4, now, { random: () => 1 }))).toBe(720)
    expect(seconds(nextAttemptAt(0, now, { random: () => 1 }))).toBe(0)
    for (let i = 0; i < 200; i++) {
      const pause = seconds(nextAttemptAt(6, now))
      expect(pause).toBeGreaterThanOrEqual(0.8 * 2 * HOUR)
      expect(pause).toBeLessThanOrEqual(1.2 * 2 * HOUR)
    }
  })
})

describe('Retry-After', () => {
  const after = (retry_after: string, made = 1) => seconds(nextAttemptAt(made, now, { retry_after, random: middle }))

  test('postpones the attempt, in seconds or to a date', () => {
    expect(after('90')).toBe(90)
    expect(after(' 90 ')).toBe(90)
    expect(after('Sun, 01 Mar 2026 10:05:00 GMT')).toBe(300)
    expect(after('Sunday, 01-Mar-26 10:05:00 GMT')).toBe(300)
  })

  test('never brings it forward', () => {
    expect(after('1', 4)).toBe(600)
    expect(after('0')).toBe(5)
    expect(after('Sun, 01 Mar 2026 09:00:00 GMT')).toBe(5)
  })

  test('counts for a day at most', () => {
    expect(after('99999999999999999999')).toBe(24 * HOUR)
    expect(after('Fri, 01 Mar 2030 10:00:00 GMT')).toBe(24 * HOUR)
  })

  test.each(['', '-5', '1.5', 'soon', '10 apples', '2026-03-01T11:00:00Z', 'Sun, 99 Mar 2026 10:05:00 GMT'])(
    'that reads %j is ignored',
    (header) => expect(retryAfterMs(header, now)).toBe(0),
  )

  test('that is missing is ignored', () => expect(retryAfterMs(undefined, now)).toBe(0))
})
