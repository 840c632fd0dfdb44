import { EngineUnreachable } from '../clients/engine-http.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as numberPlacement from '../db/number-placement.js'
import type { Known } from '../db/number-placement.js'
import * as servers from '../db/servers.js'
import type { Server } from '../db/servers.js'
import type { Logger } from '../logger.js'
import { engineNameOf, instancesNamed } from '../services/engine-names.js'
import { storedName } from '../services/instances.js'
import { type Identity, identify } from '../services/server-diagnosis.js'

const VERSION_HOURS = 24
const COMPARE_HOURS = 1

/** Learns what the servers are and what they run: once after each start of theirs, and now and then. */
export class ServerInspector {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly log: Logger,
  ) {}

  async runOnce(now = new Date()): Promise<void> {
    const well = (await servers.list(this.db)).filter(({ healthy, state }) => healthy && state !== 'disabled')
    const due = well.filter(
      ({ version_at, compared_at }) =>
        isOlder(version_at, VERSION_HOURS, now) || isOlder(compared_at, COMPARE_HOURS, now),
    )
    await Promise.all(due.map((server) => this.inspect(server, now).catch((err: unknown) => this.giveUp(server, err))))
    if (due.length > 0) await servers.flagDuplicates(this.db)
  }

  private async inspect(server: Server, now: Date): Promise<void> {
    const { name } = server
    const restarted = isOlder(server.version_at, VERSION_HOURS, now)
    if (restarted) {
      const identity = await identify(this.pool.client(name)).catch((err: unknown) => this.keepKnown(server, err))
      await servers.recordVersion(this.db, name, identity ?? UNKNOWN)
    }
    await this.compare(name)
  }

  /**
   * Holds the server's instances against our numbers. What is not ours is left alone; what was ours and should be gone
   * is removed; what belongs on another server means that two servers run the same sessions.
   */
  private async compare(name: string): Promise<void> {
    const { status, body } = await this.pool.client(name).fetchInstances()
    if (status !== 200 || !Array.isArray(body)) return
    const names = body.map(storedName).filter((one) => one !== undefined)
    const found = names.map((engine_name) => ({
      engine_name,
      instances: instancesNamed(engine_name),
    }))
    const instances = found.flatMap((one) => one.instances)
    const ours = await numberPlacement.findByInstances(this.db, [...new Set(instances)])
    const byInstance = new Map(ours.map((row) => [row.instance_name, row]))
    let foreign = 0
    let sharesWith: string | null = null
    for (const { engine_name, instances } of found) {
      const row = instances.map((name) => byInstance.get(name)).find(Boolean)
      if (!row) foreign++
      else if (!isCurrent(row, engine_name)) await this.removeLeftover(engine_name, name)
      else if (row.server_instance !== name) sharesWith = row.server_instance
    }
    await servers.recordComparison(this.db, name, { foreign_instances: foreign, shares_with: sharesWith })
  }

  private async removeLeftover(engineName: string, server: string): Promise<void> {
    await instanceRemovals.insert(this.db, engineName, server)
    this.log.warn({ engine_name: engineName, server }, 'an instance that should be gone was found and is removed')
  }

  /** The greeting asks the internet, which may be away while the server is well. */
  private keepKnown({ name, version, client_name, licence }: Server, err: unknown): Identity {
    if (!(err instanceof EngineUnreachable)) throw err
    this.log.warn({ server: name, code: err.code }, 'an Evolution server did not say what it is')
    return { version, client_name, licence: licence ?? UNKNOWN.licence }
  }

  private giveUp({ name }: Server, err: unknown): void {
    if (!(err instanceof EngineUnreachable)) throw err
    this.log.warn({ server: name, code: err.code }, 'an Evolution server did not say what it runs')
  }
}

const UNKNOWN: Identity = { version: null, client_name: null, licence: 'unknown' }

const isCurrent = (row: Known, engineName: string) => !row.deleted && !row.parked && engineNameOf(row) === engineName

const isOlder = (at: Date | null, hours: number, now: Date) => !at || now.getTime() - at.getTime() > hours * 3_600_000
