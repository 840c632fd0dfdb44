import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Postgres, startPostgres } from '../../src/embedded/postgres.js'
import type { TestDatabase } from './database.js'

/** A PostgreSQL that a test may stop, start again and crash, apart from the one that the tests share. */
export class OwnPostgres {
  private readonly data_dir = path.join(tmpdir(), `whatsapp-saas-test-${randomBytes(6).toString('hex')}`)
  private running!: Postgres

  private constructor(private readonly settings: Record<string, string>) {}

  /** With settings of PostgreSQL's; without any it waits for the disk, as in production. */
  static async start(settings: Record<string, string> = {}): Promise<OwnPostgres> {
    const own = new OwnPostgres(settings)
    await own.start()
    return own
  }

  /** For `startTestApp` too; it goes with its server. */
  get database(): TestDatabase {
    const { host, port, user, password, database } = this.running
    return { host, port, user, password, database, name: database, drop: () => Promise.resolve() }
  }

  /** Again, on the same data; its port may be another. */
  async start(): Promise<void> {
    const { data_dir, settings } = this
    this.running = await startPostgres({ data_dir, settings })
  }

  stop(): Promise<void> {
    return this.running.close()
  }

  /** Ends it without a chance to write anything; it is started again on the same port by who watches over it. */
  crash(signal: 'SIGQUIT' | 'SIGKILL'): void {
    const file = path.join(this.data_dir, 'postgres', 'postmaster.pid')
    process.kill(Number(readFileSync(file, 'utf8').split('\n')[0]), signal)
  }

  async remove(): Promise<void> {
    await this.stop()
    rmSync(this.data_dir, { recursive: true, force: true })
  }
}
