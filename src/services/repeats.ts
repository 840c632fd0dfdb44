const MAX_KEYS = 20_000

/** Does a thing once per key within a time; who repeats it meanwhile gets the outcome of the first. */
export class Repeats {
  private readonly recent = new Map<string, { at: number; done: Promise<void> }>()

  constructor(private readonly ms: number) {}

  once(key: string, work: () => Promise<void>): Promise<void> {
    const now = performance.now()
    const before = this.recent.get(key)
    if (before && now - before.at < this.ms) return before.done
    if (this.recent.size >= MAX_KEYS) this.recent.clear()
    const done = work()
    const entry = { at: now, done }
    this.recent.set(key, entry)
    // What failed must be done again.
    done.catch(() => this.recent.get(key) === entry && this.recent.delete(key))
    return done
  }

  forget(key: string): void {
    this.recent.delete(key)
  }
}
