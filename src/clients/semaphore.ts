/** Lets at most `limit` run at once; the rest wait in the order they came. */
export class Semaphore {
  private running = 0
  private readonly waiting: (() => void)[] = []

  constructor(private readonly limit: number) {}

  /** How many wait: the measure of overload. */
  get depth(): number {
    return this.waiting.length
  }

  get isIdle(): boolean {
    return this.running === 0
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.enter()
    if (turn) await turn
    try {
      return await work()
    } finally {
      this.leave()
    }
  }

  /** Answers what to wait for, if there is no room; whoever has entered must leave. */
  enter(): Promise<void> | undefined {
    if (this.running >= this.limit) return new Promise((resolve) => this.waiting.push(resolve))
    this.running++
    return undefined
  }

  leave(): void {
    const next = this.waiting.shift()
    if (next) next()
    else this.running--
  }
}

/** A semaphore for each key, so that who waits for one server or number does not hold up the others. */
export class Semaphores<Key> {
  private readonly rooms = new Map<Key, Semaphore>()

  constructor(private readonly limit: number) {}

  async run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const room = this.rooms.get(key) ?? new Semaphore(this.limit)
    this.rooms.set(key, room)
    try {
      return await room.run(work)
    } finally {
      if (room.isIdle) this.rooms.delete(key)
    }
  }
}
