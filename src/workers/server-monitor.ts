import { randomBytes } from 'node:crypto'
import type { EvolutionClient } from '../clients/evolution.js'
import { EngineUnreachable } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as servers from '../db/servers.js'
import type { Logger } from '../logger.js'

/** Looks after the health of the Evolution servers and learns their addresses from the table. */
export class ServerMonitor {
  private readonly problems = new Map<string, string | null>()

  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly log: Logger,
  ) {}

  async checkAll(): Promise<void> {
    const list = await servers.list(this.db)
    for (const { name, url } of list) this.pool.set(name, url)
    await Promise.all(list.map(({ name }) => this.check(name)))
  }

  private async check(name: string): Promise<void> {
    const problem = await diagnose(this.pool.client(name))
    await servers.recordHealth(this.db, name, problem)
    if (this.problems.get(name) === problem) return
    if (problem) this.log.error({ server: name, problem }, 'an Evolution server is not healthy')
    else if (this.problems.has(name)) this.log.info({ server: name }, 'an Evolution server is healthy again')
    this.problems.set(name, problem)
  }
}

/** The key is checked without database or network; a name nobody has is looked up in the engine's database. */
async function diagnose(client: EvolutionClient): Promise<string | null> {
  try {
    const key = await client.verifyKey()
    if (/LICENSE/i.test(JSON.stringify(key.body))) return 'needs a licence'
    if (key.status === 401) return 'refuses our key: EVOLUTION_API_KEY differs from its AUTHENTICATION_API_KEY'
    if (key.status !== 200) return `answers ${key.status} to a check of the key`
    const unknown = await client.connectionState(`health-${randomBytes(6).toString('hex')}`, 5_000)
    return unknown.status === 404 ? null : `answers ${unknown.status} where its database should say 404`
  } catch (err) {
    if (err instanceof EngineUnreachable) return `cannot be reached (${err.code})`
    throw err
  }
}
