import { EngineUnreachable } from '../clients/engine-http.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database, Queryable } from '../db/database.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as numberPlacement from '../db/number-placement.js'
import * as serverRooms from '../db/server-rooms.js'
import * as servers from '../db/servers.js'
import type { Changes, Server } from '../db/servers.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import type { Placement } from './placement.js'
import { type Identity, diagnose, identify } from './server-diagnosis.js'

export interface NewServer {
  name: string
  url: string
  capacity: number | null
  memory_mb: number | null
}

export type ServerView = Server & {
  effective_capacity: number
  placed: number
  parked: number
  statuses: Record<string, number>
  pending_removals: number
  takes_numbers: boolean
  breaker_open: boolean
}

/** The pool as the operator sees and changes it while everything runs. */
export class ServerAdministration {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly placement: Placement,
  ) {}

  async list(): Promise<ServerView[]> {
    const [list, loads] = await Promise.all([servers.list(this.db), this.placement.loads()])
    const byName = new Map(loads.map((load) => [load.name, load]))
    return list.flatMap((server) => {
      const known = byName.get(server.name)
      if (!known) return [] // added since, or removed
      const { capacity, ...load } = known
      const breaker_open = this.pool.names().includes(server.name) && this.pool.breaker(server.name).isOpen
      return {
        ...server,
        ...load,
        effective_capacity: capacity,
        breaker_open,
        takes_numbers: load.takes_numbers && load.placed < capacity,
      }
    })
  }

  async get(name: string): Promise<ServerView> {
    const server = (await this.list()).find((one) => one.name === name)
    if (!server) throw notFound('server')
    return server
  }

  /** Only a server that answers as an Evolution with our key, and that is not in the pool under another name. */
  async add(server: NewServer): Promise<ServerView> {
    const identity = await this.examine(server.url)
    await this.refuseTwin(this.db, server, identity)
    if (!(await servers.insert(this.db, server)))
      throw new AppError('conflict', 'There is a server of this name already.')
    this.pool.set(server.name, server.url)
    await servers.recordHealth(this.db, server.name, null)
    await servers.recordVersion(this.db, server.name, identity)
    return this.get(server.name)
  }

  async update(name: string, changes: Changes): Promise<ServerView> {
    const { url } = changes
    const identity = url === undefined ? undefined : await this.examine(url)
    await this.db.transaction(async (tx) => {
      await serverRooms.lockPlacement(tx)
      const server = await servers.lock(tx, name)
      if (!server) throw notFound('server')
      if (url !== undefined && server.source === 'setting' && server.listed)
        throw new AppError('conflict', 'The address of this server stands in EVOLUTION_SERVERS. Change it there.')
      if (url !== undefined && identity) {
        await this.refuseTwin(tx, { name, url }, identity)
        await refuseStranger(tx, server, identity)
      }
      await servers.update(tx, name, changes)
    })
    if (url !== undefined) this.pool.set(name, url)
    if (changes.state === 'disabled') this.pool.breaker(name).open()
    else if (changes.state !== undefined) this.pool.breaker(name).close()
    return this.get(name)
  }

  /** Only once nothing is placed on it: numbers are drained, moved by evacuation, or deleted first. */
  async remove(name: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      await serverRooms.lockPlacement(tx)
      const server = await servers.lock(tx, name)
      if (!server) throw notFound('server')
      if (server.source === 'setting' && server.listed)
        throw new AppError('conflict', 'This server stands in EVOLUTION_SERVERS. Take it out there first, and restart.')
      const owned = await numberPlacement.listOfServer(tx, name)
      if (owned.length > 0)
        throw new AppError('conflict', `${owned.length} phone numbers are placed on this server. Evacuate it first.`)
      await instanceRemovals.forgetServer(tx, name)
      await servers.markRemoved(tx, name)
    })
  }

  private async refuseTwin(db: Queryable, server: Pick<Server, 'name' | 'url'>, { client_name }: Identity) {
    const twin = (await servers.list(db)).find(
      (one) =>
        one.name !== server.name &&
        (one.url === server.url || (client_name !== null && one.client_name === client_name)),
    )
    if (twin) throw sameServer(twin)
  }

  /** Throws `invalid_request` for an address that does not answer as an Evolution server of ours. */
  private async examine(url: string) {
    const client = this.pool.stranger(url)
    try {
      const problem = await diagnose(client)
      if (problem) throw refused(`This server ${problem.message}.`)
      const identity = await identify(client).catch((err: unknown) => {
        // It may be cut off from the internet, which its greeting asks; the key it has shown to know.
        if (err instanceof EngineUnreachable) return { version: null, client_name: null, licence: 'unknown' }
        throw err
      })
      if (!identity) throw refused('Something answers there, but it is no Evolution API.')
      return identity
    } finally {
      await client.close()
    }
  }
}

/** Another engine does not know the numbers of this one, so their sessions would count as lost. */
async function refuseStranger(tx: Queryable, { name, client_name }: Server, identity: Identity): Promise<void> {
  if (client_name === null || identity.client_name === null || client_name === identity.client_name) return
  const placed = (await numberPlacement.listOfServer(tx, name)).length
  if (placed === 0) return
  throw new AppError(
    'conflict',
    `Another Evolution server answers there: its DATABASE_CONNECTION_CLIENT_NAME is "${identity.client_name}", not "${client_name}". ${placed} phone numbers are placed on this one; evacuate it first, or add the other under a name of its own.`,
  )
}

const refused = (message: string) => invalidRequest(message, [{ path: 'url', message }])

const sameServer = (twin: Server) =>
  new AppError(
    'conflict',
    `This server is in the pool as "${twin.name}", or has the same DATABASE_CONNECTION_CLIENT_NAME. Two that share it fight over every phone.`,
  )
