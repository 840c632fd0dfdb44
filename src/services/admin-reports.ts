import type { Database } from '../db/database.js'
import * as adminReports from '../db/admin-reports.js'
import type { MonthlyUsage, NumberFilter, NumberRow } from '../db/admin-reports.js'
import * as auditLog from '../db/audit-log.js'
import type { AuditEntry, NewAuditEntry } from '../db/audit-log.js'

/** What the operator looks at across all users, and the record of what operators did. */
export class AdminReports {
  constructor(private readonly db: Database) {}

  numbers(filter: NumberFilter): Promise<NumberRow[]> {
    return adminReports.listNumbers(this.db, filter)
  }

  async queues() {
    const [sends, blocked, deliveries] = await Promise.all([
      adminReports.sendBacklog(this.db),
      adminReports.blockedLanes(this.db),
      adminReports.deliveryBacklog(this.db),
    ])
    return { sends: { ...sends, blocked }, deliveries }
  }

  /** `month` as `2026-11`. */
  usage(month: string): Promise<MonthlyUsage[]> {
    return adminReports.monthlyUsage(this.db, `${month}-01`)
  }

  audit(page: { before?: number; limit: number }): Promise<AuditEntry[]> {
    return auditLog.list(this.db, page)
  }

  /** Written before the action, so that none is unseen; answers what completes the entry. */
  async begin(entry: NewAuditEntry): Promise<(statusCode: number) => Promise<void>> {
    const id = await auditLog.insert(this.db, entry)
    return (statusCode) => auditLog.complete(this.db, id, statusCode)
  }
}
