import type { Bus } from '../cache/bus.js'
import type { Database, Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as gaps from '../db/gaps.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as laneGates from '../db/lane-gates.js'
import * as numberPlacement from '../db/number-placement.js'
import * as numberStates from '../db/number-states.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { engineNameOf } from './engine-names.js'
import { MARGIN_SECONDS, OUTAGE_SECONDS, gapEvent } from './gap-event.js'
import { isAlive } from './link-needs.js'
import { type StateFact, type Transition, calm, giveUpWaiting, lose, transition } from './number-state.js'
import { publicEvent } from './public-events.js'

interface ParkOptions {
  when?: (phone: PhoneNumber) => boolean
  watch_seconds?: number | null
}

/** Moves of a number that do not come from an event of the engine: each one commit, with its events and its lane. */
export class NumberChanges {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  /** Applies a fact that was learned by asking, unless the instance it is about has been replaced meanwhile. */
  apply(phone: Pick<PhoneNumber, 'id' | 'engine_generation'>, fact: StateFact): Promise<void> {
    return this.move(phone.id, (now) =>
      now.engine_generation === phone.engine_generation ? transition(now, fact, new Date()) : undefined,
    )
  }

  /** A reconnect has taken too long. */
  giveUp(id: number): Promise<void> {
    return this.move(id, (phone) =>
      phone.status === 'connected' && phone.reconnecting_since ? giveUpWaiting(phone, new Date()) : undefined,
    )
  }

  /** Its connection has stopped coming and going. */
  calm(id: number): Promise<void> {
    return this.move(id, (phone) => (phone.unstable_since ? calm(phone, new Date()) : undefined))
  }

  /** Tells its user that a connected number is not well, without changing its status. */
  async tellDegraded(id: number, data: Record<string, unknown>): Promise<void> {
    await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (phone) await events.record(tx, [publicEvent('phone_number.degraded', phone, data)])
    })
    this.bus.tell('deliveries.due', {})
  }

  /**
   * Takes the number's instance off the engine; a new one is made when somebody asks for a QR code. Without a reason
   * its status stays as it is. What was not fetched of the instance yet is told as a gap.
   */
  async park(id: number, reason: string | null, options: ParkOptions = {}): Promise<boolean> {
    const { when = () => true, watch_seconds = null } = options
    const parked = await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (!phone || !when(phone)) return false
      await this.parkLocked(tx, phone, reason, watch_seconds)
      return true
    })
    if (parked) this.tell(id)
    return parked
  }

  /** As `park`, of a number whose row is locked; the caller tells the bus. */
  async parkLocked(
    tx: Queryable,
    phone: PhoneNumber,
    reason: string | null,
    watchSeconds: number | null = null,
  ): Promise<void> {
    if (!phone.parked_at) {
      await instanceRemovals.insert(tx, engineNameOf(phone), phone.server_instance, watchSeconds)
      await numberPlacement.park(tx, phone.id)
      await tellUnfetched(tx, phone)
    }
    if (reason !== null) await write(tx, phone, lose(phone, reason, new Date()))
  }

  tell(id: number): void {
    this.bus.tell('phone_number.changed', { id })
    this.bus.tell('deliveries.due', {})
  }

  private async move(id: number, decide: (phone: PhoneNumber) => Transition | undefined): Promise<void> {
    const moved = await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      const change = phone && decide(phone)
      if (change) await write(tx, phone, change)
      return change !== undefined
    })
    if (moved) this.tell(id)
  }
}

/** With the instance goes what it has stored: what was not fetched of it never will be. */
async function tellUnfetched(tx: Queryable, phone: PhoneNumber): Promise<void> {
  const outage = { outageSeconds: OUTAGE_SECONDS, marginSeconds: MARGIN_SECONDS }
  const missed = await gaps.takeOfNumber(tx, { ...phone, alive: isAlive(phone) }, outage)
  if (!missed) return
  const window = { from: missed.from_at, to: missed.until_at }
  await events.record(tx, [gapEvent(phone, { ...window, reason: 'instance_removed', fetched: 0 })])
}

async function write(tx: Queryable, { id }: PhoneNumber, { state, events: raised, lane }: Transition): Promise<void> {
  await numberStates.saveEngineStates(tx, [{ id, ...state }])
  if (lane === 'block') await laneGates.block(tx, [id], 'number_disconnected')
  if (lane === 'unblock') await laneGates.unblock(tx, [id])
  await events.record(tx, raised)
}
