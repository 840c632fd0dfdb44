import { parentOf } from './process-table.js'

type Close = () => Promise<void>

/** npm passes on a Ctrl-C that the terminal has delivered already; only a later one is a second one. */
const SAME_KEYPRESS_MS = 700
/** Where parents must be asked of `ps`, rarely. */
const FOLLOW_MS = process.platform === 'linux' ? 250 : 5_000
const START_SETTLES_MS = 5_000

/** What has been started, closed in reverse order exactly once, whatever the reason for the end. */
export class Lifecycle {
  private readonly closers: Close[] = []
  private stopping?: { since: number; done: Promise<void> }
  private starting: Promise<unknown> = Promise.resolve()

  constructor(private readonly say: (line: string) => void) {}

  /** Runs the start; a stop that comes meanwhile waits for it, so that nothing half-started is left. */
  start(work: () => Promise<void>): Promise<void> {
    const started = work()
    this.starting = started.catch(() => undefined)
    return started
  }

  onClose(close: Close) {
    this.closers.push(close)
  }

  get isStopping(): boolean {
    return this.stopping !== undefined
  }

  handleSignals() {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.interrupt())
    process.on('disconnect', () => this.interrupt())
    this.followNpm()
  }

  async stop(exitCode: number): Promise<void> {
    this.stopping ??= { since: Date.now(), done: this.closeAll() }
    await this.stopping.done
    if (exitCode === 0) this.say('Stopped.')
    process.exit(exitCode)
  }

  private interrupt() {
    if (!this.stopping) {
      this.say('\nStopping …')
      void this.stop(0)
    } else if (Date.now() - this.stopping.since > SAME_KEYPRESS_MS) {
      process.exit(130)
    }
  }

  /** An npm that is killed cannot pass the signal on; without this the server would go on, unseen. */
  private followNpm() {
    if (!process.env.npm_lifecycle_event) return
    const parent = process.ppid
    // npm runs a shell, which may or may not stay between.
    const grandparent = parentOf(parent)
    const isSame = () => process.ppid === parent && parentOf(parent) === grandparent
    setInterval(() => {
      if (!this.stopping && !isSame()) this.interrupt()
    }, FOLLOW_MS).unref()
  }

  private async closeAll() {
    const limit = new Promise((resolve) => setTimeout(resolve, START_SETTLES_MS).unref())
    await Promise.race([this.starting, limit])
    for (const close of this.closers.splice(0).reverse()) {
      try {
        await close()
      } catch (error) {
        this.say(`While stopping: ${(error as Error).message}`)
      }
    }
  }
}
