import type { Json, MessageRow, StatusRow } from './records.js'

export interface MessageFilter {
  key?: Json
  id?: unknown
  source?: unknown
  messageType?: unknown
  messageTimestamp?: { gte?: unknown; lte?: unknown }
}

/** Evolution's Message and MessageUpdate tables. */
export class MessageTable {
  private readonly rows = new Map<string, MessageRow>()
  private readonly byInstance = new Map<string, Set<MessageRow>>()
  private readonly byKeyId = new Map<string, MessageRow>()
  private readonly statuses = new Map<string, StatusRow[]>()

  put(row: MessageRow): void {
    this.remove(row.id, { keepStatuses: true })
    this.rows.set(row.id, row)
    this.byKeyId.set(`${row.instanceId} ${row.key.id}`, row)
    const siblings = this.byInstance.get(row.instanceId)
    if (siblings) siblings.add(row)
    else this.byInstance.set(row.instanceId, new Set([row]))
  }

  remove(id: string, { keepStatuses = false } = {}): void {
    const row = this.rows.get(id)
    if (!row) return
    this.rows.delete(id)
    this.byKeyId.delete(`${row.instanceId} ${row.key.id}`)
    this.byInstance.get(row.instanceId)?.delete(row)
    if (!keepStatuses) this.statuses.delete(id)
  }

  removeInstance(instanceId: string): void {
    for (const row of this.byInstance.get(instanceId) ?? []) this.remove(row.id)
    this.byInstance.delete(instanceId)
  }

  byKey(instanceId: string, keyId: string): MessageRow | undefined {
    return this.byKeyId.get(`${instanceId} ${keyId}`)
  }

  count(instanceId: string): number {
    return this.byInstance.get(instanceId)?.size ?? 0
  }

  addStatus(status: StatusRow): void {
    const seen = this.statuses.get(status.messageId)
    if (seen) seen.push(status)
    else this.statuses.set(status.messageId, [status])
  }

  statusesOf(messageId: string): StatusRow[] {
    return this.statuses.get(messageId) ?? []
  }

  /** Evolution's traps included: a filter it does not know, or that is undefined, matches everything. */
  find(instanceId: string, filter: MessageFilter): MessageRow[] {
    const keyId = filter.key?.['id']
    const candidates =
      typeof keyId === 'string' ? [this.byKey(instanceId, keyId)] : [...(this.byInstance.get(instanceId) ?? [])]
    return candidates
      .filter((row): row is MessageRow => row !== undefined && matches(row, filter))
      .reverse()
      .sort((a, b) => b.messageTimestamp - a.messageTimestamp)
  }

  findStatuses(instanceId: string, where: Json): StatusRow[] {
    const messages = this.find(instanceId, { key: { id: where.id, remoteJid: where.remoteJid } })
    return messages.reverse().flatMap((message) => this.statusesOf(message.id))
  }
}

function matches(row: MessageRow, filter: MessageFilter): boolean {
  const key = filter.key ?? {}
  const jidFilter = key.remoteJid ?? undefined
  return (
    same(jidFilter, row.key.remoteJid) &&
    // together with remoteJid, remoteJidAlt is not looked at
    (jidFilter !== undefined || same(key.remoteJidAlt, row.key.remoteJidAlt)) &&
    (key.fromMe !== true || row.key.fromMe) &&
    same(key.participant, row.key.participant) &&
    same(filter.id, row.id) &&
    same(filter.source, row.source) &&
    same(filter.messageType, row.messageType) &&
    inWindow(row.messageTimestamp, filter.messageTimestamp)
  )
}

function same(wanted: unknown, actual: string | undefined): boolean {
  return wanted === undefined || wanted === null || wanted === actual
}

function inWindow(seconds: number, window: MessageFilter['messageTimestamp']): boolean {
  if (!window?.gte || !window.lte) return true
  return seconds >= wholeSeconds(window.gte) && seconds <= wholeSeconds(window.lte)
}

function wholeSeconds(moment: unknown): number {
  return Math.floor(new Date(moment as string | number).getTime() / 1000)
}
