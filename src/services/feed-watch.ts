import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'

/** How often feeds are looked at when nobody says that something happened. */
const LOOK_MS = 1_000
/** Hints within this time cause one look. */
const GATHER_MS = 20

interface Waiter {
  user_id: number
  after: number
  wake: () => void
}

/** Wakes those who wait for their feed to grow: one query for all of them, and none while nobody waits. */
export class FeedWatch {
  private readonly waiters = new Set<Waiter>()
  private timer: NodeJS.Timeout | undefined
  /** When the next look is due, in milliseconds of `performance.now()`. */
  private lookAt = Infinity
  private looking = false
  /** Something happened during a look, which may have missed it. */
  private hinted = false
  private isClosed = false

  constructor(
    private readonly db: Database,
    bus: Bus,
  ) {
    bus.on('deliveries.due', () => this.hint())
  }

  /** How many wait. */
  get size(): number {
    return this.waiters.size
  }

  get closed(): boolean {
    return this.isClosed
  }

  /** Resolves when the feed has gone past `after`, the time is over, the caller left, or the process stops. */
  async grown(userId: number, after: number, ms: number, signal: AbortSignal): Promise<void> {
    if (this.isClosed || signal.aborted || ms <= 0) return
    await new Promise<void>((resolve) => {
      const waiter = { user_id: userId, after, wake: () => done() }
      const timer = setTimeout(() => done(), ms)
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        this.waiters.delete(waiter)
        resolve()
      }
      signal.addEventListener('abort', done)
      this.waiters.add(waiter)
      // It may have grown between the caller's look and now.
      this.hint()
    })
  }

  /** Sends everybody home. */
  close(): void {
    this.isClosed = true
    clearTimeout(this.timer)
    for (const waiter of this.waiters) waiter.wake()
  }

  private hint() {
    if (this.looking) this.hinted = true
    else this.lookIn(GATHER_MS)
  }

  private lookIn(ms: number) {
    if (this.isClosed || this.waiters.size === 0) return
    const at = performance.now() + ms
    // Hints that never pause must not put off the look they ask for.
    if (at >= this.lookAt) return
    this.lookAt = at
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.look(), ms)
    this.timer.unref()
  }

  private async look(): Promise<void> {
    this.lookAt = Infinity
    this.looking = true
    this.hinted = false
    try {
      const ids = [...new Set([...this.waiters].map((waiter) => waiter.user_id))]
      const positions = new Map(
        (await events.listPositions(this.db, ids)).map((row) => [row.user_id, row.last_position]),
      )
      for (const waiter of this.waiters) if ((positions.get(waiter.user_id) ?? 0) > waiter.after) waiter.wake()
    } catch {
      // The database is away; the next look is in a second, and every wait ends by itself.
    } finally {
      this.looking = false
      this.lookIn(this.hinted ? GATHER_MS : LOOK_MS)
    }
  }
}
