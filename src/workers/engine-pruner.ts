import { setTimeout as pause } from 'node:timers/promises'
import type { Database } from '../db/database.js'
import * as engineMessages from '../db/engine-messages.js'

/** Small: each message takes its receipts with it, and Evolution must not wait for us. */
const BATCH = 200
const BREATH_MS = 100

/** Evolution never deletes a message; on a small disk its table outgrows everything else. */
export class EnginePruner {
  constructor(
    private readonly db: Database,
    private readonly days: number,
  ) {}

  async runOnce(now: Date | null = null): Promise<void> {
    if (this.days === 0) return
    while ((await engineMessages.prune(this.db, this.days, BATCH, now)) === BATCH) await pause(BREATH_MS)
  }
}
