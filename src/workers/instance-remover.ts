import type { Database } from '../db/database.js'
import * as instanceRemovals from '../db/instance-removals.js'
import type { Logger } from '../logger.js'
import type { InstanceService } from '../services/instances.js'

/** Tries, in about half an hour, after which it is told that an instance does not go. */
const TOLD_AFTER = 10

/** Finishes what deletions began, until the engine itself says that the instance is unknown. */
export class InstanceRemover {
  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
    private readonly log: Logger,
  ) {}

  async runDue(): Promise<void> {
    const due = await instanceRemovals.claimDue(this.db, 20)
    await Promise.all(due.map((removal) => this.finish(removal)))
  }

  private async finish({ engine_name, server_instance, attempts }: instanceRemovals.Removal): Promise<void> {
    try {
      const gone = await this.instances.remove(engine_name, server_instance)
      if (gone && (await instanceRemovals.remove(this.db, engine_name))) return
    } catch (err) {
      this.log.warn({ err, engine_name }, 'an instance could not be removed from its engine yet')
    }
    if (attempts === TOLD_AFTER) this.log.warn({ engine_name, server_instance }, 'an instance stays on its engine')
    await instanceRemovals.postpone(this.db, engine_name, Math.min(5 * 2 ** attempts, 600))
  }
}
