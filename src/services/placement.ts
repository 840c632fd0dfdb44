import type { ServerPool } from '../clients/server-pool.js'
import type { Database, Queryable } from '../db/database.js'
import * as serverRooms from '../db/server-rooms.js'
import * as servers from '../db/servers.js'
import type { Server } from '../db/servers.js'
import { AppError } from '../errors.js'

/** Chooses the server a number is placed on: in turn, among those that are well and have room. */
export class Placement {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly options: { server_memory_mb: number },
  ) {}

  /** Throws `no_capacity`. The choice is safe from others until the transaction ends. */
  async choose(tx: Queryable, except: string[] = []): Promise<Server> {
    const server = await serverRooms.takeNext(tx, except, this.options.server_memory_mb)
    if (server) {
      this.pool.set(server.name, server.url) // another replica may have added it a moment ago
      return server
    }
    throw new AppError('no_capacity', 'No WhatsApp server can take a phone number right now. Try again in a minute.', {
      retry_after_seconds: 60,
    })
  }

  /** It was found dead by somebody who wanted to place a number: the next ones need not find out again. */
  noteUnreachable(name: string): Promise<void> {
    return servers.recordHealth(this.db, name, { code: 'unreachable', message: 'cannot be reached' })
  }

  rooms() {
    return serverRooms.rooms(this.db, this.options.server_memory_mb)
  }

  loads() {
    return serverRooms.loads(this.db, this.options.server_memory_mb)
  }
}
