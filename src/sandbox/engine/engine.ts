import type { InstanceRow } from '../store/records.js'
import { badRequest } from './failure.js'
import { Instance } from './instance.js'
import { reportStatus } from './message.js'
import type { World } from './world.js'

/** Messages of before a restart whose reports are still owed are no older than this, in seconds. */
const CATCH_UP_SECONDS = 3_600

/** The memory of one server: the instances it runs. */
export class Engine {
  private readonly instances = new Map<string, Instance>()

  constructor(readonly world: World) {}

  /** Loads every instance of this server's name and connects all of them at once, the never paired ones too. */
  start(): void {
    const mine = this.world.database.instancesWhere((row) => row.clientName === this.world.settings.name)
    for (const row of mine) {
      const instance = this.load(row)
      instance.whenOnline(() => this.catchUp(instance))
      instance.connection.open()
    }
  }

  stop(): void {
    for (const instance of this.instances.values()) instance.connection.stop()
  }

  get(name: string): Instance | undefined {
    return this.instances.get(name)
  }

  list(): Instance[] {
    return [...this.instances.values()]
  }

  /** In memory here, or only in the database all servers share. */
  exists(name: string): boolean {
    if (this.world.troubles.of().loading) return false
    return this.instances.has(name) || this.world.database.instanceByName(name) !== undefined
  }

  load(row: InstanceRow): Instance {
    const instance = new Instance(this.world, row)
    this.instances.set(row.name, instance)
    return instance
  }

  /** Forgets an instance, and deletes its rows. */
  remove(name: string): void {
    this.instances.get(name)?.connection.stop()
    this.instances.delete(name)
    this.deleteRows(name)
  }

  deleteRows(name: string): void {
    const row = this.world.database.instanceByName(name)
    if (row) this.world.database.deleteInstance(row.id)
  }

  logout(name: string): void {
    const instance = this.instances.get(name)
    if (!instance || instance.connection.state === 'close') {
      throw badRequest(`The "${name}" instance is not connected`)
    }
    // answered before it is done
    this.world.timers.after(1, () => instance.connection.logout())
  }

  /** Answered before the work: the instance stays until its `remove.instance` was delivered or given up. */
  delete(name: string): void {
    const instance = this.instances.get(name)
    if (!instance) {
      this.deleteRows(name)
      return
    }
    const { state } = instance.connection
    void instance.emit('instance.delete', { instanceName: name, instanceId: instance.id })
    const told = instance.emit('remove.instance', null)
    if (state === 'connecting') instance.connection.logout()
    else instance.connection.stop()
    // logged out: when the server restarts before the rows are gone, it comes back as one that was never paired
    instance.update({ paired: false, connectionStatus: 'close' })
    void Promise.all([told, this.linger(instance)]).then(
      () => this.instances.get(name) === instance && this.remove(name),
      () => undefined,
    )
  }

  private async linger(instance: Instance): Promise<void> {
    const { delete_lingers } = instance.troubles
    if (typeof delete_lingers === 'number') await this.world.timers.sleep(delete_lingers * 1000)
    else while (instance.troubles.delete_lingers === true) await this.world.timers.sleep(50)
  }

  /** WhatsApp hands over the reports that came while the server was down. */
  private catchUp(instance: Instance): void {
    const { database, directory } = this.world
    const since = Date.now() - CATCH_UP_SECONDS * 1000
    const sent = database.messages.find(instance.id, {
      key: { fromMe: true },
      messageTimestamp: { gte: since, lte: Date.now() },
    })
    for (const row of sent) {
      const { receipts } = directory.behaviourOf(row.key.remoteJid)
      if (receipts !== 'read' || row.source !== 'web' || row.key.remoteJid.endsWith('@g.us')) continue
      const seen = database.messages.statusesOf(row.id).map((status) => status.status)
      for (const status of ['DELIVERY_ACK', 'READ']) if (!seen.includes(status)) reportStatus(instance, row.key, status)
    }
  }
}
