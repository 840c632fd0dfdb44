import type { InstanceRow } from '../store/records.js'
import { Connection } from './connection.js'
import { pathOf, subscriptionOf, type EventName } from './event-names.js'
import { Lock } from './timers.js'
import type { Troubles } from './troubles.js'
import type { World } from './world.js'

/** One instance in the memory of the server that runs it; its row in the database may already be gone. */
export class Instance {
  readonly connection: Connection
  /** One send at a time: a stuck one blocks the instance. */
  readonly sending = new Lock()
  /** Its own JID, unknown until the first login since the server started. */
  wuid: string | undefined
  /** After a log-out through the API nothing incoming arrives until the server restarts (Evolution 2.3.1-2.3.6). */
  deaf = false
  private snapshot: InstanceRow
  private readonly inbox: (() => void)[] = []

  constructor(
    readonly world: World,
    row: InstanceRow,
  ) {
    this.snapshot = row
    this.connection = new Connection(this)
  }

  get row(): InstanceRow {
    return this.world.database.instanceById(this.snapshot.id) ?? this.snapshot
  }

  get id(): string {
    return this.snapshot.id
  }

  get name(): string {
    return this.snapshot.name
  }

  get troubles(): Troubles {
    return this.world.troubles.of(this.name)
  }

  update(changes: Partial<InstanceRow>): void {
    this.snapshot = { ...this.row, ...changes, updatedAt: new Date().toISOString() }
    if (this.world.database.instanceById(this.id)) this.world.database.saveInstance(this.snapshot)
  }

  listensTo(event: EventName): boolean {
    const webhook = this.world.database.instanceById(this.id)?.webhook
    return !!webhook?.enabled && /^https?:\/\//.test(webhook.url) && webhook.events.includes(subscriptionOf(event))
  }

  /** Posts an event, if the instance's webhook wants it. Resolves when it was taken or given up. */
  async emit(event: EventName, data: unknown): Promise<void> {
    const { webhook, token } = this.row
    if (!webhook || !this.listensTo(event)) return
    await this.world.poster.post(
      webhook.webhookByEvents ? webhook.url + pathOf(event) : webhook.url,
      webhook.headers ?? {},
      {
        event,
        instance: this.name,
        data,
        destination: webhook.url,
        date_time: new Date().toISOString(),
        sender: this.wuid,
        server_url: this.world.serverUrl(),
        apikey: token,
      },
    )
  }

  /** WhatsApp hands this over now, or as soon as the instance is online again. */
  whenOnline(deliver: () => void): void {
    if (this.connection.state === 'open') deliver()
    else this.inbox.push(deliver)
  }

  emptyInbox(): void {
    for (const deliver of this.inbox.splice(0)) deliver()
  }
}
