/** A calendar day as `YYYY-MM-DD`; such texts sort and compare as days do. */
export type Day = string

type Today = { day: Day; from: number; until: number }
type Zone = { format: Intl.DateTimeFormat; today?: Today }

const DAY_MS = 86_400_000
/** Zone names are accepted in any letter case, so their number has no natural end. */
const MAX_CACHED_ZONES = 1000
/** Names only: newer engines also accept offsets such as +07:00, which PostgreSQL reads with the sign reversed. */
const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/

const zones = new Map<string, Zone>()

/** Whether this is an IANA time zone name that this Node.js knows. */
export function isTimeZone(name: string): boolean {
  if (!ZONE_NAME.test(name)) return false
  try {
    formatter(name)
    return true
  } catch {
    return false
  }
}

/** The day in a time zone at a moment; throws RangeError for an unknown zone. */
export function dayIn(timeZone: string, at: Date): Day {
  return todayAround(timeZone, at).day
}

/** The first moment of the next day in a time zone, also where clocks change or a whole day is skipped. */
export function nextMidnight(timeZone: string, at: Date): Date {
  return new Date(todayAround(timeZone, at).until)
}

/** The day `n` days later, or earlier when `n` is negative. */
export function addDays(day: Day, n: number): Day {
  return new Date(utcMidnight(day) + n * DAY_MS).toISOString().slice(0, 10)
}

/** How many days `to` lies after `from`: 0 on the same day, negative when it lies before. */
export function daysBetween(from: Day, to: Day): number {
  return (utcMidnight(to) - utcMidnight(from)) / DAY_MS
}

function todayAround(timeZone: string, at: Date): Today {
  const zone = zoneOf(timeZone)
  const moment = at.getTime()
  const known = zone.today
  if (known && moment >= known.from && moment < known.until) return known

  const day = dayOf(zone.format, moment)
  zone.today = { day, from: moment, until: endOfDay(zone.format, moment, day) }
  return zone.today
}

/** Searches for the moment the day changes, because arithmetic with offsets is wrong on the days they change. */
function endOfDay(format: Intl.DateTimeFormat, moment: number, day: Day): number {
  let before = moment
  let after = moment + DAY_MS
  while (dayOf(format, after) <= day) after += DAY_MS
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (dayOf(format, middle) > day) after = middle
    else before = middle
  }
  return after
}

function dayOf(format: Intl.DateTimeFormat, moment: number): Day {
  const parts = format.formatToParts(moment)
  const part = (type: string) => parts.find((one) => one.type === type)!.value
  return `${part('year').padStart(4, '0')}-${part('month')}-${part('day')}`
}

function zoneOf(timeZone: string): Zone {
  const known = zones.get(timeZone)
  if (known) return known
  const zone = { format: formatter(timeZone) }
  if (zones.size >= MAX_CACHED_ZONES) zones.clear()
  zones.set(timeZone, zone)
  return zone
}

function formatter(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  })
}

function utcMidnight(day: Day): number {
  return Date.parse(`${day}T00:00:00Z`)
}
