import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import * as lanes from '../db/lanes.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import { giveUpWaiting } from '../services/number-state.js'

/** A reconnect shorter than this is nobody's business. */
const GRACE_SECONDS = 60

/** Notices what the engine does not say: a number that has been reconnecting for too long. */
export class ConnectionReconciler {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  async runOnce(graceSeconds = GRACE_SECONDS): Promise<void> {
    for (const id of await phoneNumbers.listStalled(this.db, graceSeconds)) await this.giveUp(id)
  }

  private async giveUp(id: number): Promise<void> {
    await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (phone?.status !== 'connected' || phone.reconnecting_since === null) return
      const { state, events: raised } = giveUpWaiting(phone, new Date())
      await phoneNumbers.saveEngineStates(tx, [{ id, ...state }])
      await lanes.block(tx, [id], 'number_disconnected')
      await events.record(tx, raised)
    })
    this.bus.tell('phone_number.changed', { id })
  }
}
