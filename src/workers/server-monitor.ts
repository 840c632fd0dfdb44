import type { ServerPool } from '../clients/server-pool.js'
import * as connectionChecks from '../db/connection-checks.js'
import type { Database } from '../db/database.js'
import * as laneGates from '../db/lane-gates.js'
import * as servers from '../db/servers.js'
import type { Server } from '../db/servers.js'
import type { Logger } from '../logger.js'
import { type Problem, diagnose } from '../services/server-diagnosis.js'

/** After an outage the numbers of a server are looked at within so long. */
const CATCH_UP_SECONDS = 30
/** One miss keeps new numbers away; so many in a row keep the sends back too. */
const MISSES = 2

/** Looks after the health of the Evolution servers and learns their addresses from the table. */
export class ServerMonitor {
  private readonly problems = new Map<string, string | null>()
  private readonly misses = new Map<string, number>()

  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly log: Logger,
  ) {}

  async checkAll(): Promise<void> {
    const list = await servers.list(this.db)
    for (const { name, url } of list) this.pool.set(name, url)
    for (const server of list.filter(({ state }) => state === 'disabled')) this.rest(server)
    await Promise.all(list.filter(({ state }) => state !== 'disabled').map((server) => this.check(server)))
  }

  /** The operator has taken it out: it is left in peace, and so are whoever waits for it. */
  private rest({ name }: Server): void {
    this.pool.breaker(name).open()
    this.problems.set(name, 'disabled')
  }

  private async check({ name, healthy }: Server): Promise<void> {
    const problem = await diagnose(this.pool.client(name))
    await servers.recordHealth(this.db, name, problem)
    const misses = problem ? (this.misses.get(name) ?? 0) + 1 : 0
    this.misses.set(name, misses)
    if (!problem) this.pool.breaker(name).close()
    else if (problem.blocks_sends && misses >= MISSES) this.pool.breaker(name).open()
    if (!problem && (healthy === false || this.problems.get(name))) await this.welcomeBack(name)
    this.report(name, problem)
  }

  /** What waited for the server goes on at once, and how its numbers are is found out. */
  private async welcomeBack(name: string): Promise<void> {
    await laneGates.wakeServer(this.db, name)
    await connectionChecks.makeServerDue(this.db, name, CATCH_UP_SECONDS)
  }

  private report(name: string, problem: Problem | null): void {
    const before = this.problems.get(name)
    this.problems.set(name, problem?.message ?? null)
    if (before === (problem?.message ?? null)) return
    if (problem) this.log.error({ server: name, problem: problem.message }, 'an Evolution server is not healthy')
    else if (before !== undefined) this.log.info({ server: name }, 'an Evolution server is healthy again')
  }
}
