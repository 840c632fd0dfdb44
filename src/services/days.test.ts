import fc from 'fast-check'
import { addDays, dayIn, daysBetween, isTimeZone, nextMidnight } from './days.js'

const MOMENTS: [zone: string, at: string, day: string, midnight: string][] = [
  ['UTC', '2026-03-01T00:00:00.000Z', '2026-03-01', '2026-03-02T00:00:00.000Z'],
  ['UTC', '2026-03-01T23:59:59.999Z', '2026-03-01', '2026-03-02T00:00:00.000Z'],
  ['UTC', '2024-02-28T12:00:00.000Z', '2024-02-28', '2024-02-29T00:00:00.000Z'],
  ['Asia/Jakarta', '2026-03-01T16:59:59.999Z', '2026-03-01', '2026-03-01T17:00:00.000Z'],
  ['Asia/Jakarta', '2026-03-01T17:00:00.000Z', '2026-03-02', '2026-03-02T17:00:00.000Z'],
  ['Asia/Jakarta', '2025-12-31T17:00:00.000Z', '2026-01-01', '2026-01-01T17:00:00.000Z'],
  // São Paulo began and ended summer time at midnight: a day that starts at 01:00, and a 25-hour day.
  ['America/Sao_Paulo', '2018-11-03T12:00:00.000Z', '2018-11-03', '2018-11-04T03:00:00.000Z'],
  ['America/Sao_Paulo', '2018-11-04T03:00:00.000Z', '2018-11-04', '2018-11-05T02:00:00.000Z'],
  ['America/Sao_Paulo', '2019-02-16T12:00:00.000Z', '2019-02-16', '2019-02-17T03:00:00.000Z'],
  ['America/Sao_Paulo', '2019-02-17T02:59:59.999Z', '2019-02-16', '2019-02-17T03:00:00.000Z'],
  ['Europe/Berlin', '2026-03-29T00:30:00.000Z', '2026-03-29', '2026-03-29T22:00:00.000Z'],
  ['Europe/Berlin', '2026-03-28T23:00:00.000Z', '2026-03-29', '2026-03-29T22:00:00.000Z'],
  ['Europe/Berlin', '2026-10-24T22:00:00.000Z', '2026-10-25', '2026-10-25T23:00:00.000Z'],
  ['America/New_York', '2026-03-08T05:00:00.000Z', '2026-03-08', '2026-03-09T04:00:00.000Z'],
  ['America/New_York', '2026-11-01T04:00:00.000Z', '2026-11-01', '2026-11-02T05:00:00.000Z'],
  // Samoa jumped over 2011-12-30.
  ['Pacific/Apia', '2011-12-29T12:00:00.000Z', '2011-12-29', '2011-12-30T10:00:00.000Z'],
  ['Pacific/Apia', '2011-12-30T10:00:00.000Z', '2011-12-31', '2011-12-31T10:00:00.000Z'],
  ['Pacific/Apia', '2026-03-01T11:00:00.000Z', '2026-03-02', '2026-03-02T11:00:00.000Z'],
  ['Asia/Kolkata', '2026-03-01T18:30:00.000Z', '2026-03-02', '2026-03-02T18:30:00.000Z'],
  ['Pacific/Chatham', '2026-07-01T11:15:00.000Z', '2026-07-02', '2026-07-02T11:15:00.000Z'],
]

describe('days in a time zone', () => {
  test.each(MOMENTS)('%s at %s is %s until %s', (zone, at, day, midnight) => {
    expect(dayIn(zone, new Date(at))).toBe(day)
    expect(nextMidnight(zone, new Date(at)).toISOString()).toBe(midnight)
  })

  test('a remembered day is right again when the clock goes back', () => {
    const order = ['2026-03-02T17:00:00Z', '2026-03-01T16:59:59Z', '2026-03-02T16:59:59Z', '2026-03-01T17:00:00Z']
    expect(order.map((at) => dayIn('Asia/Jakarta', new Date(at)))).toEqual([
      '2026-03-03',
      '2026-03-01',
      '2026-03-02',
      '2026-03-02',
    ])
  })

  test('the day never changes before its next midnight and always at it', () => {
    const zone = fc.constantFrom('UTC', 'Asia/Jakarta', 'America/Sao_Paulo', 'Europe/Berlin', 'America/New_York')
    const moment = fc.date({ min: new Date('2000-01-01'), max: new Date('2040-01-01'), noInvalidDate: true })
    const check = fc.property(zone, moment, (name, at) => {
      const day = dayIn(name, at)
      const midnight = nextMidnight(name, at)
      expect(dayIn(name, new Date(midnight.getTime() - 1))).toBe(day)
      expect(dayIn(name, midnight)).toBe(addDays(day, 1))
      expect(midnight.getTime() - at.getTime()).toBeLessThanOrEqual(25 * 3_600_000)
    })
    fc.assert(check, { numRuns: 300 })
  })

  test('an unknown zone is a RangeError', () => {
    expect(() => dayIn('Mars/Olympus', new Date())).toThrow(RangeError)
  })
})

describe('isTimeZone', () => {
  test.each(['Asia/Jakarta', 'UTC', 'America/Argentina/Buenos_Aires', 'Etc/GMT+7', 'asia/jakarta'])(
    '%s is one',
    (name) => {
      expect(isTimeZone(name)).toBe(true)
    },
  )

  test.each([
    '',
    'Jakarta',
    'WIB+7',
    '+07:00',
    '-03:00',
    'GMT+7',
    "Asia/Jakarta'",
    'Asia/Jakarta ',
    '../UTC',
    '__proto__',
  ])('%j is none', (name) => expect(isTimeZone(name)).toBe(false))
})

describe('days on their own', () => {
  test('are added over months, leap days and years', () => {
    expect(addDays('2026-12-31', 1)).toBe('2027-01-01')
    expect(addDays('2024-02-28', 1)).toBe('2024-02-29')
    expect(addDays('2026-03-01', -1)).toBe('2026-02-28')
    expect(addDays('2026-03-01', 0)).toBe('2026-03-01')
  })

  test('are counted, not reckoned in hours', () => {
    expect(daysBetween('2026-03-01', '2026-03-31')).toBe(30)
    expect(daysBetween('2026-03-28', '2026-03-30')).toBe(2)
    expect(daysBetween('2026-03-02', '2026-03-01')).toBe(-1)
    expect(daysBetween('2026-03-01', '2026-03-01')).toBe(0)
  })
})
