import { EngineUnreachable } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as numberPlacement from '../db/number-placement.js'
import * as servers from '../db/servers.js'
import type { Changes, Server } from '../db/servers.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import type { Placement } from './placement.js'
import { diagnose, identify } from './server-diagnosis.js'

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
    return list.map((server) => {
      const { capacity, ...load } = byName.get(server.name)!
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
    const twin = (await servers.list(this.db)).find(
      (one) => one.url === server.url || (identity.client_name !== null && one.client_name === identity.client_name),
    )
    if (twin && twin.name !== server.name) throw sameServer(twin)
    if (!(await servers.insert(this.db, server)))
      throw new AppError('conflict', 'There is a server of this name already.')
    this.pool.set(server.name, server.url)
    await servers.recordHealth(this.db, server.name, null)
    await servers.recordVersion(this.db, server.name, identity)
    return this.get(server.name)
  }

  async update(name: string, changes: Changes): Promise<ServerView> {
    if (changes.url !== undefined) await this.examine(changes.url)
    await this.db.transaction(async (tx) => {
      await servers.lockPlacement(tx)
      const server = await servers.lock(tx, name)
      if (!server) throw notFound('server')
      if (changes.url !== undefined && server.source === 'setting' && server.listed)
        throw new AppError('conflict', 'The address of this server stands in EVOLUTION_SERVERS. Change it there.')
      await servers.update(tx, name, changes)
    })
    if (changes.url !== undefined) this.pool.set(name, changes.url)
    if (changes.state === 'disabled') this.pool.breaker(name).open()
    else if (changes.state !== undefined) this.pool.breaker(name).close()
    return this.get(name)
  }

  /** Only once nothing is placed on it: numbers are drained, moved by evacuation, or deleted first. */
  async remove(name: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      await servers.lockPlacement(tx)
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

const refused = (message: string) => invalidRequest(message, [{ path: 'url', message }])

const sameServer = (twin: Server) =>
  new AppError(
    'conflict',
    `This server is in the pool as "${twin.name}", or has the same DATABASE_CONNECTION_CLIENT_NAME. Two that share it fight over every phone.`,
  )
