import * as connectionChecks from '../db/connection-checks.js'
import type { Database } from '../db/database.js'
import * as lanes from '../db/lanes.js'
import * as numberStates from '../db/number-states.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as servers from '../db/servers.js'
import * as statusChanges from '../db/status-changes.js'
import type { StatusChange } from '../db/status-changes.js'
import type { User } from '../db/users.js'
import { adviceFor } from './number-advice.js'
import { ownedNumber } from './owned-number.js'

const DAY_HOURS = 24

/** How a number is and has been, in more than one word. */
export class NumberReports {
  constructor(private readonly db: Database) {}

  async status(user: User, id: number) {
    const phone = await ownedNumber(this.db, user.id, id)
    const [lane, check, server, last_sent_at, day, month] = await Promise.all([
      lanes.find(this.db, id),
      connectionChecks.find(this.db, id),
      servers.find(this.db, phone.server_instance),
      numberStates.lastSentAt(this.db, id),
      statusChanges.uptime(this.db, id, DAY_HOURS),
      statusChanges.uptime(this.db, id, 30 * DAY_HOURS),
    ])
    const problem = phone.status === 'connected' ? problemOf(phone, check?.problem ?? null) : null
    return {
      phone,
      extra: {
        problem,
        advice: adviceFor(problem ?? phone.status_reason ?? ''),
        server_available: server?.healthy !== false,
        checked_at: check?.checked_at ?? null,
        last_sent_at,
        last_received_at: phone.last_received_at,
        uptime: { last_24_hours: day, last_30_days: month },
        send_gap_seconds: lane?.gap_seconds ?? null,
      },
    }
  }

  async history(user: User, id: number, page: { before?: number; limit: number }): Promise<StatusChange[]> {
    await ownedNumber(this.db, user.id, id)
    return statusChanges.list(this.db, id, page)
  }
}

function problemOf(phone: PhoneNumber, suspected: string | null): string | null {
  if (suspected) return suspected
  if (phone.unstable_since) return 'unstable'
  return phone.reconnecting_since ? 'reconnecting' : null
}
