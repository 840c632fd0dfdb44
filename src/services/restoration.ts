import type { Database } from '../db/database.js'
import * as numberPlacement from '../db/number-placement.js'
import * as servers from '../db/servers.js'
import { isAlive } from './link-needs.js'
import type { NumberChanges } from './number-changes.js'

/**
 * After a restore without the engines' own data: sessions that look linked would send, but receive nothing. Each number
 * gets a new instance when it is linked again; who was linked is told. May be repeated. Answers how many were linked.
 */
export async function markSessionsLost(db: Database, changes: NumberChanges): Promise<number> {
  let lost = 0
  for (const { name } of await servers.list(db))
    for (const id of await numberPlacement.listOfServer(db, name)) {
      if (await changes.park(id, 'server_lost', { when: isAlive })) lost++
      else await changes.park(id, null, { when: (phone) => phone.status === 'disconnected' && !phone.parked_at })
      await changes.park(id, 'qr_expired', {
        when: (phone) => phone.status === 'connecting' || phone.status === 'qr_ready',
      })
    }
  return lost
}
