import type { SentMessage } from './records.js'

export interface LedgerQuery {
  instance?: string
  recipient?: string
  text?: string
  /** Only groups of (instance, recipient, text) sent at least this often: 2 finds duplicates. */
  min_count?: number
  /** How many of the newest messages are listed. */
  limit?: number
}

export interface LedgerCount {
  instance: string
  recipient: string
  text: string
  count: number
}

/** What really went out to WhatsApp, counted per (instance, recipient, text) as it happens. */
export class Ledger {
  private readonly sent: SentMessage[] = []
  private readonly counts = new Map<string, LedgerCount>()

  add(message: SentMessage): void {
    this.sent.push(message)
    const { instance, recipient, text } = message
    const key = `${instance}\n${recipient}\n${text}`
    const counted = this.counts.get(key)
    if (counted) counted.count += 1
    else this.counts.set(key, { instance, recipient, text, count: 1 })
  }

  get total(): number {
    return this.sent.length
  }

  /** How often exactly this was sent: one look-up. */
  count(instance: string, recipient: string, text: string): number {
    return this.counts.get(`${instance}\n${recipient}\n${text}`)?.count ?? 0
  }

  countsOf(query: LedgerQuery = {}): LedgerCount[] {
    const { min_count = 1 } = query
    return [...this.counts.values()].filter((counted) => counted.count >= min_count && matches(counted, query))
  }

  /** Newest last. */
  messagesOf(query: LedgerQuery = {}): SentMessage[] {
    const found: SentMessage[] = []
    const { limit = 1_000 } = query
    for (let i = this.sent.length - 1; i >= 0 && found.length < limit; i--) {
      if (matches(this.sent[i]!, query)) found.push(this.sent[i]!)
    }
    return found.reverse()
  }
}

function matches(message: { instance: string; recipient: string; text: string }, query: LedgerQuery): boolean {
  return (
    (query.instance === undefined || message.instance === query.instance) &&
    (query.recipient === undefined || message.recipient === query.recipient) &&
    (query.text === undefined || message.text === query.text)
  )
}
