import type { Database } from '../db/database.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as serverRooms from '../db/server-rooms.js'
import * as servers from '../db/servers.js'
import type { Server } from '../db/servers.js'
import { AppError, notFound } from '../errors.js'
import { isAlive } from './link-needs.js'
import type { NumberChanges } from './number-changes.js'

export interface Evacuated {
  moved: number
  /** Numbers whose users were asked to link again. */
  to_relink: number
}

/** Gives the numbers of a lost server a new home. Their sessions are gone with it: users must link them again. */
export class Evacuation {
  constructor(
    private readonly db: Database,
    private readonly changes: NumberChanges,
  ) {}

  /**
   * Ids and tokens stay. An instance is made on another server when somebody asks for the QR code, so that numbers
   * nobody links cost nothing. Should we die on the way, the call can be repeated.
   */
  async run(name: string, { force }: { force: boolean }): Promise<Evacuated> {
    await this.close(name, force)
    const result = { moved: 0, to_relink: 0 }
    for (const id of await numberPlacement.listOfServer(this.db, name)) {
      const moved = await this.move(id, name)
      if (moved === undefined) continue
      result.moved++
      if (moved === 'linked') result.to_relink++
    }
    return result
  }

  /** First of all nobody may be placed on it any more, and there must be somewhere to go. */
  private async close(name: string, force: boolean): Promise<void> {
    await this.db.transaction(async (tx) => {
      await serverRooms.lockPlacement(tx)
      const server = await servers.lock(tx, name)
      if (!server) throw notFound('server')
      if ((await serverRooms.countOpen(tx, name)) === 0)
        throw new AppError('conflict', 'This is the last server that can take phone numbers. Add another one first.')
      if (server.healthy && server.state !== 'disabled' && !force) throw stillWell(server)
      if (server.state === 'active') await servers.update(tx, name, { state: 'draining' })
    })
  }

  private async move(id: number, from: string): Promise<'linked' | 'unlinked' | undefined> {
    const moved = await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (phone?.server_instance !== from) return undefined
      const linked = isAlive(phone)
      await this.changes.parkLocked(tx, phone, linked ? 'server_lost' : reasonUnlinked(phone))
      const next = await serverRooms.findRoomiest(tx, from)
      if (next) await numberPlacement.moveToServer(tx, id, next)
      return linked ? 'linked' : 'unlinked'
    })
    if (moved) this.changes.tell(id)
    return moved
  }
}

/** Nobody had scanned it yet, so nothing is lost but its code. */
const reasonUnlinked = ({ status }: PhoneNumber) => (status === 'disconnected' ? null : 'qr_expired')

const stillWell = ({ name }: Server) =>
  new AppError(
    'conflict',
    `The server "${name}" is well: evacuating it unlinks every number on it. Drain it instead, or repeat this with "force": true.`,
  )
