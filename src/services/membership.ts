import type { Bus } from '../cache/bus.js'
import type { Database, Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as heldMessages from '../db/held-messages.js'
import * as lanes from '../db/lanes.js'
import type { Changed } from '../db/messages.js'
import * as processes from '../db/processes.js'
import { statusEvent } from './message-view.js'

/** Safely before the others count this process as dead. */
const ALIVE_MS = (processes.DEAD_AFTER_SECONDS - 4) * 1000

/** This process among the others: its id, its heartbeat, and the estate of those that stopped beating. */
export class Membership {
  private current: number | undefined
  private lastBeat = 0

  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly role: string,
  ) {}

  get id(): number {
    if (this.current === undefined) throw new Error('This process has not joined yet.')
    return this.current
  }

  /** False when the others may have taken over what this process holds: then nothing of it may be posted. */
  isAlive(): boolean {
    return Date.now() - this.lastBeat < ALIVE_MS
  }

  async join(): Promise<void> {
    const at = Date.now()
    this.current = await processes.insert(this.db, this.role)
    this.lastBeat = at
  }

  /** One heartbeat; a process that was declared dead meanwhile goes on under a new id. */
  async beat(): Promise<void> {
    const at = Date.now()
    if (await processes.beat(this.db, this.id)) this.lastBeat = at
    else await this.join()
  }

  /** Takes over what dead processes were sending: nobody knows how it ended, so it is not sent again. */
  async buryDead(): Promise<number> {
    // After the database was away nobody has beaten for long; whoever can say so is alive.
    await this.beat()
    const abandoned = await this.db.transaction(async (tx) => {
      const dead = [...(await processes.removeDead(tx)), ...(await heldMessages.listOrphans(tx))]
      return dead.length > 0 ? takeOver(tx, dead) : []
    })
    for (const { id } of abandoned) this.bus.tell('message.changed', { id })
    if (abandoned.length > 0) this.bus.tell('lanes.due', {})
    return abandoned.length
  }

  /** Whatever this process could not settle in time is left as it is: unconfirmed. */
  async leave(): Promise<void> {
    const id = this.current
    if (id === undefined) return
    await this.db.transaction(async (tx) => {
      await takeOver(tx, [id])
      await processes.remove(tx, id)
    })
  }
}

async function takeOver(tx: Queryable, processIds: number[]): Promise<Changed[]> {
  const held = await heldMessages.listOf(tx, processIds)
  await lanes.lock(
    tx,
    held.map((message) => message.phone_number_id),
  )
  const abandoned = await heldMessages.abandon(tx, processIds)
  await lanes.releaseAbandoned(tx, abandoned)
  await events.record(tx, abandoned.map(statusEvent))
  return abandoned
}
