import { randomBytes } from 'node:crypto'
import type { ServerPool } from '../clients/server-pool.js'
import * as connectionChecks from '../db/connection-checks.js'
import type { Database } from '../db/database.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as servers from '../db/servers.js'
import * as users from '../db/users.js'
import { AppError, invalidRequest, notFound, unavailable } from '../errors.js'
import { address } from './engine-events.js'
import { baseOf } from './engine-names.js'
import type { InstanceService } from './instances.js'
import type { NumberChanges } from './number-changes.js'

export interface Found {
  instance_name: string
  state: string
  phone_number: string | null
  profile_name: string | null
  receive_groups: boolean
}

/** Adopts instances that ran before us, with their WhatsApp session: nobody has to scan anything. */
export class InstanceImport {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly instances: InstanceService,
    private readonly changes: NumberChanges,
  ) {}

  /** The instances of a server that are not ours. Nothing is ever adopted by itself. */
  async list(serverName: string): Promise<Found[]> {
    if (!(await servers.find(this.db, serverName))) throw notFound('server')
    const { status, body } = await this.pool
      .client(serverName)
      .fetchInstances()
      .catch((err: unknown) => {
        throw unavailable('The server does not answer.', err)
      })
    if (status !== 200 || !Array.isArray(body)) throw unavailable('The server did not list its instances.')
    const found = body.map(read).filter((one) => one !== undefined)
    const bases = found.map(({ instance_name }) => baseOf(instance_name))
    const taken = new Set(await numberPlacement.basesInUse(this.db, bases))
    return found.filter(({ instance_name }) => !taken.has(baseOf(instance_name)))
  }

  /** All of them or none: what was adopted is let go of again when a later one fails. */
  async adopt(serverName: string, userId: number, names: string[]): Promise<PhoneNumber[]> {
    const listed = new Map((await this.list(serverName)).map((one) => [one.instance_name, one]))
    if (new Set(names.map(baseOf)).size < names.length)
      throw invalidRequest('instances: name each once, and not one beside another that only lacks its _g and a number.')
    const missing = names.filter((name) => !listed.has(name))
    if (missing.length > 0)
      throw invalidRequest(`instances: ${missing.join(', ')} is not on this server, or is a phone number already.`)
    const adopted: PhoneNumber[] = await this.reserve(
      serverName,
      userId,
      names.map((name) => listed.get(name)!),
    )
    try {
      for (const phone of adopted) await this.take(phone)
    } catch (err) {
      await this.db.transaction(async (tx) => {
        for (const phone of adopted) await phoneNumbers.remove(tx, phone.id)
      })
      throw err
    }
    for (const phone of adopted) await this.learn(phone, listed.get(phone.instance_name)!)
    return Promise.all(adopted.map(async (phone) => (await phoneNumbers.findOwned(this.db, userId, phone.id)) ?? phone))
  }

  private reserve(server_instance: string, userId: number, found: Found[]): Promise<PhoneNumber[]> {
    return this.db.transaction(async (tx) => {
      const owner = await users.lock(tx, userId)
      if (!owner) throw notFound('user')
      const room = owner.max_phone_numbers - (await phoneNumbers.countOwned(tx, userId))
      if (found.length > room)
        throw new AppError('plan_limit_reached', `This user has room for ${Math.max(0, room)} more phone numbers.`)
      const rows: PhoneNumber[] = []
      for (const { instance_name, profile_name, receive_groups } of found) {
        const token = `wst_${randomBytes(24).toString('base64url')}`
        const display_name = (profile_name ?? instance_name).slice(0, 100)
        const phone = {
          user_id: userId,
          server_instance,
          instance_name,
          token,
          display_name,
          metadata: {},
          receive_groups,
        }
        const { id } = await phoneNumbers.insert(tx, phone)
        rows.push(await numberPlacement.adopt(tx, id))
      }
      return rows
    })
  }

  /** Its events come to us from here on; whoever got them before does not get them any more. */
  private async take(phone: PhoneNumber): Promise<void> {
    const notAnswering = (err: unknown) => {
      throw unavailable('The server does not answer.', err)
    }
    const sentFiles = await this.instances.postsFiles(phone).catch(notAnswering)
    if (!(await this.instances.configure(phone).catch(notAnswering)))
      throw unavailable(`The server refused our webhook for ${phone.instance_name}.`)
    // It would go on to put files into its events, which are then too large, until its socket is opened anew.
    if (sentFiles) await this.instances.restart(phone).catch(notAnswering)
    await connectionChecks.begin(this.db, phone.id, this.instances.fingerprint(phone))
  }

  /** Its row may lag behind, so the engine is asked. */
  private async learn(phone: PhoneNumber, row: Found): Promise<void> {
    const state = await this.instances.stateOf(phone).catch(() => row.state)
    if (state === 'open')
      await this.changes.apply(phone, { kind: 'state', state, reason: null, phone_number: row.phone_number })
  }
}

/** Version 1.8 nests what newer ones answer flat. */
function read(row: unknown): Found | undefined {
  const flat = { ...(row as object), ...(row as { instance?: object }).instance } as Record<string, unknown>
  const name = flat.name ?? flat.instanceName
  if (typeof name !== 'string' || name === '' || name.length > 100) return undefined
  const jid = flat.ownerJid ?? flat.owner
  const setting = flat.Setting as { groupsIgnore?: boolean } | null | undefined
  return {
    instance_name: name,
    state: [flat.connectionStatus, flat.status].find((state) => typeof state === 'string') ?? 'unknown',
    phone_number: typeof jid === 'string' && jid !== '' ? address(jid) : null,
    profile_name: typeof flat.profileName === 'string' && flat.profileName !== '' ? flat.profileName : null,
    receive_groups: setting?.groupsIgnore === false,
  }
}
