import * as apiRequests from '../db/api-requests.js'
import type { ApiRequest } from '../db/api-requests.js'
import type { Database } from '../db/database.js'
import type { Logger } from '../logger.js'

const FLUSH_MS = 500
const MAX_WAITING = 10_000

/** Collects request rows and writes them in batches; when the database is away it forgets rather than grows. */
export class RequestLog {
  private waiting: ApiRequest[] = []
  private writing: Promise<void> | undefined
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly db: Database,
    private readonly log: Logger,
  ) {}

  add(entry: ApiRequest): void {
    if (this.waiting.length < MAX_WAITING) this.waiting.push(entry)
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS)
  }

  async flush(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    await this.writing
    if (this.waiting.length === 0) return
    const batch = this.waiting.splice(0, 1_000)
    this.writing = this.db
      .transaction((tx) => apiRequests.insert(tx, batch))
      .catch((err: unknown) => this.log.warn({ err }, 'the request log could not be written'))
    await this.writing
    if (this.waiting.length > 0) await this.flush()
  }
}
