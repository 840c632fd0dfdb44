import { join } from 'node:path'
import { Journal } from './journal.js'
import { Ledger } from './ledger.js'
import { MessageTable } from './message-table.js'
import type { Entry, InstanceRow, MessageRow, SentMessage, StatusRow } from './records.js'

export interface SessionHolder {
  replaced: () => void
}

/**
 * What the Evolution servers of one pool share: the instances, the messages, the cache of numbers known to be on
 * WhatsApp; and what WhatsApp itself knows: the ledger, the media, the names of contacts.
 */
export class SandboxDatabase {
  readonly ledger = new Ledger()
  readonly messages = new MessageTable()
  /** JIDs that were looked up before: sends to them skip the question. */
  readonly knownNumbers = new Set<string>()
  /** Who holds the WhatsApp session of an instance (by id): a second holder throws the first one out. */
  readonly sessions = new Map<string, SessionHolder>()
  private readonly instances = new Map<string, InstanceRow>()
  private readonly idsByName = new Map<string, string>()
  private readonly media = new Map<string, Buffer>()
  private readonly contacts = new Map<string, string>()
  private readonly journal: Journal<Entry>

  private constructor(dataDir?: string) {
    this.journal = dataDir
      ? Journal.open<Entry>(join(dataDir, 'sandbox.jsonl'), (entry) => this.apply(entry))
      : Journal.inMemory<Entry>()
  }

  static open(dataDir?: string): SandboxDatabase {
    return new SandboxDatabase(dataDir)
  }

  close(): void {
    this.journal.close()
  }

  instanceById(id: string): InstanceRow | undefined {
    return this.instances.get(id)
  }

  instanceByName(name: string): InstanceRow | undefined {
    return this.instances.get(this.idsByName.get(name) ?? '')
  }

  instancesWhere(matches: (row: InstanceRow) => boolean): InstanceRow[] {
    return [...this.instances.values()].filter(matches)
  }

  saveInstance(row: InstanceRow): void {
    this.write({ t: 'instance', row })
  }

  deleteInstance(id: string): void {
    if (this.instances.has(id)) this.write({ t: 'instance_deleted', id })
  }

  saveMessage(row: MessageRow): void {
    this.write({ t: 'message', row })
  }

  deleteMessage(id: string): void {
    this.write({ t: 'message_deleted', id })
  }

  saveStatus(row: StatusRow): void {
    this.write({ t: 'status', row })
  }

  recordSent(sent: SentMessage): void {
    this.write({ t: 'sent', sent })
  }

  saveMedia(path: string, bytes: Buffer): void {
    this.write({ t: 'media', path, base64: bytes.toString('base64') })
  }

  mediaAt(path: string): Buffer | undefined {
    return this.media.get(path)
  }

  saveContact(instanceId: string, jid: string, name: string): void {
    if (this.contactName(instanceId, jid) !== name) this.write({ t: 'contact', instance_id: instanceId, jid, name })
  }

  contactName(instanceId: string, jid: string): string | undefined {
    return this.contacts.get(`${instanceId} ${jid}`)
  }

  private forget(id: string): void {
    const row = this.instances.get(id)
    this.instances.delete(id)
    this.messages.removeInstance(id)
    if (row && this.idsByName.get(row.name) === id) this.idsByName.delete(row.name)
  }

  private write(entry: Entry): void {
    this.apply(entry)
    this.journal.append(entry)
  }

  private apply(entry: Entry): void {
    switch (entry.t) {
      case 'instance':
        this.instances.set(entry.row.id, entry.row)
        this.idsByName.set(entry.row.name, entry.row.id)
        break
      case 'instance_deleted':
        this.forget(entry.id)
        break
      case 'message':
        this.messages.put(entry.row)
        break
      case 'message_deleted':
        this.messages.remove(entry.id)
        break
      case 'status':
        this.messages.addStatus(entry.row)
        break
      case 'media':
        this.media.set(entry.path, Buffer.from(entry.base64, 'base64'))
        break
      case 'contact':
        this.contacts.set(`${entry.instance_id} ${entry.jid}`, entry.name)
        break
      case 'sent':
        this.ledger.add(entry.sent)
        this.knownNumbers.add(entry.sent.jid)
        break
    }
  }
}
