import type { Logger } from '../logger.js'

/**
 * A thing that is done again and again. One round at a time; a round that fails is logged and the next one comes all
 * the same. `wake` starts a round at once, or one more after the present one.
 */
export class Worker {
  private timer: NodeJS.Timeout | undefined
  private running: Promise<void> | undefined
  private again = false
  private stopped = true

  constructor(
    readonly name: string,
    private readonly options: { every_ms: number; log: Logger },
    private readonly round: () => Promise<unknown>,
  ) {}

  start(): void {
    this.stopped = false
    this.wake()
  }

  wake(): void {
    if (this.stopped) return
    if (this.running) {
      this.again = true
      return
    }
    clearTimeout(this.timer)
    this.running = this.runOnce().finally(() => {
      this.running = undefined
      if (this.stopped) return
      if (this.again) {
        this.again = false
        this.wake()
      } else this.timer = setTimeout(() => this.wake(), this.options.every_ms)
    })
  }

  /** One round, whatever comes of it. */
  async runOnce(): Promise<void> {
    try {
      await this.round()
    } catch (err) {
      this.options.log.warn({ err, worker: this.name }, 'a round failed')
    }
  }

  /** Starts no more rounds and waits for the present one. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.running
  }
}
