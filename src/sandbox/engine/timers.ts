/** Timers that end together with their owner. */
export class Timers {
  private readonly running = new Map<NodeJS.Timeout, () => void>()
  private ended = false

  /** Runs `action` later, unless cleared before. */
  after(ms: number, action: () => void): void {
    if (this.ended) return
    const timer = setTimeout(() => {
      this.running.delete(timer)
      action()
    }, ms)
    this.running.set(timer, () => undefined)
  }

  /** Rejects with `Cleared` when the owner ends first. */
  sleep(ms: number): Promise<void> {
    if (this.ended) return Promise.reject(new Cleared('the sandbox was closed'))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.running.delete(timer)
        resolve()
      }, ms)
      this.running.set(timer, () => reject(new Cleared('the sandbox was closed')))
    })
  }

  /** Clears, and never starts a timer again. */
  end(): void {
    this.ended = true
    this.clear()
  }

  clear(): void {
    for (const [timer, abandon] of this.running) {
      clearTimeout(timer)
      abandon()
    }
    this.running.clear()
  }
}

export class Cleared extends Error {}

/** One at a time, in the order of asking. */
export class Lock {
  private last: Promise<unknown> = Promise.resolve()

  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.last.then(work)
    this.last = result.catch(() => undefined)
    return result
  }
}
