/** So many unreached sends in a row open it for so long; a good health check closes it at once. */
const FAILURES = 5
const OPEN_MS = 10_000

/** Keeps sends from a server that cannot be reached: each would hold up its lane for the length of a time-out. */
export class Breaker {
  private failures = 0
  private openUntil = 0

  get isOpen(): boolean {
    return this.openUntil > Date.now()
  }

  reached(): void {
    this.failures = 0
  }

  missed(): void {
    this.failures++
    if (this.failures >= FAILURES) this.openUntil = Math.max(this.openUntil, Date.now() + OPEN_MS)
  }

  /** Until somebody closes it. */
  open(): void {
    this.openUntil = Infinity
  }

  close(): void {
    this.openUntil = 0
    this.failures = 0
  }
}
