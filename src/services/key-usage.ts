import * as apiKeys from '../db/api-keys.js'
import type { Database } from '../db/database.js'
import type { Logger } from '../logger.js'

const FLUSH_MS = 5_000
const BATCH = 1_000

/** Remembers when each key was used last and writes that down now and then, not once per request. */
export class KeyUsage {
  private readonly seen = new Map<number, Date>()
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly db: Database,
    private readonly log: Logger,
  ) {}

  note(id: number): void {
    this.seen.set(id, new Date())
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref()
  }

  async flush(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    const uses = [...this.seen].map(([id, at]) => ({ id, at })).sort((a, b) => a.id - b.id)
    this.seen.clear()
    try {
      for (let i = 0; i < uses.length; i += BATCH) await apiKeys.recordUse(this.db, uses.slice(i, i + BATCH))
    } catch (err) {
      this.log.warn({ err }, 'the last use of API keys could not be written')
    }
  }
}
