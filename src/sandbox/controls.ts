import type { Behaviour } from './engine/behaviours.js'
import type { Engine } from './engine/engine.js'
import { failure } from './engine/failure.js'
import type { Instance } from './engine/instance.js'
import type { Profile, SocketState } from './engine/connection.js'
import { reportStatus } from './engine/message.js'
import { editIncoming, receive, revoke, typed, type Written } from './engine/other-side.js'
import type { Troubles } from './engine/troubles.js'
import type { RequestLog } from './http/request-log.js'
import type { Ledger } from './store/ledger.js'

export interface InstanceView {
  name: string
  id: string
  state: SocketState
  paired: boolean
  qr_count: number
  owner_jid: string | null
  webhook_url: string | null
}

/** What is done to a sandbox from outside: the phone, the other side, the troubles, and a look at the ledger. */
export class Controls {
  constructor(
    private readonly engine: Engine,
    private readonly seen: RequestLog,
  ) {}

  /** Everything that really reached WhatsApp, of all servers that share the database. */
  get ledger(): Ledger {
    return this.engine.world.database.ledger
  }

  /** The requests of the gateway, newest last. */
  requests(filter?: Parameters<RequestLog['list']>[0]) {
    return this.seen.list(filter)
  }

  clearRequests(): void {
    this.seen.clear()
  }

  /** Read marks that reached WhatsApp. */
  get reads() {
    return this.engine.world.reads
  }

  get pendingWebhooks(): number {
    return this.engine.world.poster.pending
  }

  instances(): InstanceView[] {
    return this.engine.list().map(view)
  }

  instance(name: string): InstanceView {
    return view(this.find(name))
  }

  /** Scans the QR code that is shown. */
  scan(name: string, profile?: Profile): InstanceView {
    const instance = this.find(name)
    if (!instance.connection.qr) throw failure(409, [`The "${name}" instance shows no QR code`], 'Conflict')
    instance.connection.scan(profile)
    return view(instance)
  }

  /** 401, 402, 403 and 406 end the connection for good; Evolution comes back after every other code. */
  disconnect(name: string, code: number): void {
    const { connection } = this.find(name)
    if (connection.state === 'close') throw failure(409, [`The "${name}" instance is not connected`], 'Conflict')
    if ([401, 402, 403, 406].includes(code)) connection.endForGood(code)
    else connection.drop()
  }

  /** An incoming message; answers its key id. */
  incoming(name: string, written: Written): string {
    return receive(this.find(name), written)
  }

  /** A message typed on the phone of the instance; answers its key id. */
  typed(name: string, written: Written): string {
    return typed(this.find(name), written)
  }

  /** Any report about a message, such as SERVER_ACK or ERROR; false when the message is not in the database. */
  status(name: string, keyId: string, status: string): boolean {
    return reportStatus(this.find(name), { id: keyId }, status)
  }

  edit(name: string, keyId: string, text: string): boolean {
    return editIncoming(this.find(name), keyId, text)
  }

  revoke(name: string, keyId: string): boolean {
    return revoke(this.find(name), keyId)
  }

  setTroubles(troubles: Troubles, instance?: string): void {
    const { world } = this.engine
    world.troubles.set(troubles, instance)
    if (!troubles.endless_connecting) return
    for (const { name, connection } of this.engine.list()) {
      if ((instance === undefined || instance === name) && connection.state !== 'close') connection.drop()
    }
  }

  clearTroubles(instance?: string): void {
    this.engine.world.troubles.clear(instance)
  }

  troubles() {
    return this.engine.world.troubles.list()
  }

  /** Makes a number behave in a way of its own from now on. */
  teachRecipient(number: string, behaviour: Partial<Behaviour>): void {
    this.engine.world.directory.teach(number, behaviour)
  }

  /** A group every instance is a member of. */
  addGroup(jid: string, name: string): void {
    this.engine.world.directory.addGroup(jid, name)
  }

  private find(name: string): Instance {
    const instance = this.engine.get(name)
    if (!instance) throw failure(404, [`The "${name}" instance does not exist`])
    return instance
  }
}

function view({ name, id, connection, row }: Instance): InstanceView {
  return {
    name,
    id,
    state: connection.state,
    paired: row.paired,
    qr_count: connection.qr?.count ?? 0,
    owner_jid: row.ownerJid,
    webhook_url: row.webhook?.enabled ? row.webhook.url : null,
  }
}
