import type { Logger } from '../logger.js'

/** What tells how busy this process is. */
export interface LoadSources {
  /** Requests that only wait for something to happen: they cost nothing. */
  parked(): number
  /** Messages that wait to be committed, and how long the oldest has waited. */
  commits(): { depth: number; age_ms: number }
}

/** Commits take milliseconds; a queue of this age means that the database does not keep up. */
const MAX_COMMIT_AGE_MS = 3_000
const MAX_COMMIT_DEPTH = 5_000
const COMPLAIN_MS = 10_000

/**
 * Decides who is turned away when more comes in than can be done. A bounded number at a time means a bounded wait for
 * those who are let in; without it everybody waits longer than they are ready to, and all work is wasted.
 */
export class Load {
  private open = 0
  private refused = 0
  private complainedAt = -Infinity

  constructor(
    private readonly sources: LoadSources,
    private readonly options: { max_active_requests: number },
    private readonly log: Logger,
  ) {}

  /** Why a new request is not taken now, or undefined when it is; then `leave` must follow. */
  enter(): string | undefined {
    const reason = this.reason()
    if (reason) this.complain(reason)
    else this.open++
    return reason
  }

  leave(): void {
    this.open--
  }

  private reason(): string | undefined {
    if (this.open - this.sources.parked() >= this.options.max_active_requests) return 'too many requests at once'
    const { depth, age_ms } = this.sources.commits()
    if (depth >= MAX_COMMIT_DEPTH) return 'too many messages wait to be stored'
    if (age_ms >= MAX_COMMIT_AGE_MS) return 'the database does not keep up'
    return undefined
  }

  private complain(reason: string) {
    this.refused++
    const now = performance.now()
    if (now - this.complainedAt < COMPLAIN_MS) return
    this.complainedAt = now
    this.log.warn({ reason, refused: this.refused, open: this.open }, 'overloaded: turning requests away')
    this.refused = 0
  }
}
