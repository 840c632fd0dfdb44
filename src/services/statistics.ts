import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import * as stats from '../db/stats.js'
import * as usage from '../db/usage.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { invalidRequest } from '../errors.js'
import { addDays, dayIn, daysBetween, nextMidnight } from './days.js'

const MAX_DAYS = 3_660
const RECENT_EVENTS = 10

export class StatisticsService {
  constructor(private readonly db: Database) {}

  /** Totals, per day and per number; without dates, the last 30 days of the user's time zone. */
  async statistics(user: User, asked: { start_date?: string; end_date?: string }) {
    const range = this.rangeOf(user, asked)
    const [totals, per_day, per_phone_number] = await Promise.all([
      stats.totals(this.db, user.id, range),
      stats.perDay(this.db, user.id, range),
      stats.perNumber(this.db, user.id, range),
    ])
    return { ...range, time_zone: user.time_zone, totals, per_day, per_phone_number }
  }

  async dashboard(user: User) {
    const now = new Date()
    const today = dayIn(user.time_zone, now)
    const range = { start_date: addDays(today, -29), end_date: today }
    const [fresh, used, by_status, totals, per_day, recent] = await Promise.all([
      users.findById(this.db, user.id),
      usage.usedOn(this.db, user.id, today),
      phoneNumbers.countByStatus(this.db, user.id),
      stats.totals(this.db, user.id, range),
      stats.perDay(this.db, user.id, range),
      events.listRecent(this.db, user.id, RECENT_EVENTS),
    ])
    const { plan_type, max_phone_numbers, max_messages_per_day } = fresh ?? user
    const remaining = Math.max(0, max_messages_per_day - used)
    return {
      plan: { plan_type, max_phone_numbers, max_messages_per_day },
      usage_today: { used, limit: max_messages_per_day, remaining, resets_at: nextMidnight(user.time_zone, now) },
      phone_numbers: { total: Object.values(by_status).reduce((sum, n) => sum + n, 0), by_status },
      last_30_days: { ...range, totals, per_day },
      recent_events: recent.map(({ public_id, ...event }) => ({ id: public_id, ...event })),
    }
  }

  private rangeOf(user: User, asked: { start_date?: string; end_date?: string }): stats.Range {
    const end_date = asked.end_date ?? dayIn(user.time_zone, new Date())
    const start_date = asked.start_date ?? addDays(end_date, -29)
    if (daysBetween(start_date, end_date) < 0) throw invalidRequest('start_date must not be after end_date.')
    if (daysBetween(start_date, end_date) > MAX_DAYS) throw invalidRequest('The range may be ten years long at most.')
    return { start_date, end_date }
  }
}
