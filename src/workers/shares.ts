import type { DueDelivery } from '../db/deliveries.js'

/** The deliveries in hand, and how many of them belong to whom. */
export class Shares {
  total = 0
  private readonly webhooks = new Map<number, Set<DueDelivery>>()
  private readonly users = new Map<number, number>()

  add(delivery: DueDelivery): void {
    const { webhook_id, user_id } = delivery.target
    const own = this.webhooks.get(webhook_id)
    if (own) own.add(delivery)
    else this.webhooks.set(webhook_id, new Set([delivery]))
    this.users.set(user_id, (this.users.get(user_id) ?? 0) + 1)
    this.total++
  }

  /** Once is enough: a second time changes nothing. */
  remove(delivery: DueDelivery): void {
    const { webhook_id, user_id } = delivery.target
    const own = this.webhooks.get(webhook_id)
    if (!own?.delete(delivery)) return
    if (own.size === 0) this.webhooks.delete(webhook_id)
    const rest = this.users.get(user_id)! - 1
    if (rest > 0) this.users.set(user_id, rest)
    else this.users.delete(user_id)
    this.total--
  }

  has(webhookId: number): boolean {
    return this.webhooks.has(webhookId)
  }

  count(webhookId: number): number {
    return this.webhooks.get(webhookId)?.size ?? 0
  }

  of(webhookId: number): DueDelivery[] {
    return [...(this.webhooks.get(webhookId) ?? [])]
  }

  webhooksFrom(count: number): number[] {
    return [...this.webhooks].filter(([, own]) => own.size >= count).map(([id]) => id)
  }

  usersFrom(count: number): number[] {
    return [...this.users].filter(([, n]) => n >= count).map(([id]) => id)
  }
}
