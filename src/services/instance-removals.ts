import type { Database } from '../db/database.js'
import * as instanceRemovals from '../db/instance-removals.js'
import type { InstanceService } from './instances.js'

/** Instances on their way out of the engine. What is written down is done, now or later. */
export class InstanceRemovals {
  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
  ) {}

  /** One try at once, for the hurried; the remover goes on until the engine answers 404. */
  async hurry(engineName: string, serverInstance: string): Promise<void> {
    const gone = await this.instances.remove(engineName, serverInstance).catch(() => false)
    if (gone) await instanceRemovals.remove(this.db, engineName)
  }
}
