import * as apiRequests from '../db/api-requests.js'
import type { Database } from '../db/database.js'
import * as earlyReceipts from '../db/early-receipts.js'
import * as ingress from '../db/ingress.js'

const BATCH = 5_000
/** Evolution repeats an event for hours at most. */
const INGRESS_KEY_DAYS = 7
const EARLY_RECEIPT_HOURS = 24

/** Deletes what is past its time, in small batches. */
export class Pruner {
  constructor(
    private readonly db: Database,
    private readonly options: { request_log_days: number },
  ) {}

  async runOnce(): Promise<void> {
    while ((await apiRequests.prune(this.db, this.options.request_log_days, BATCH)) === BATCH);
    await ingress.deleteKeysBefore(this.db, INGRESS_KEY_DAYS)
    await earlyReceipts.deleteOld(this.db, EARLY_RECEIPT_HOURS)
  }
}
