interface Owned {
  webhook_id: number
  user_id: number
}

/** How much of the work in hand belongs to whom. */
export class Shares {
  total = 0
  private readonly webhooks = new Map<number, number>()
  private readonly users = new Map<number, number>()

  add({ webhook_id, user_id }: Owned): void {
    this.total++
    change(this.webhooks, webhook_id, 1)
    change(this.users, user_id, 1)
  }

  remove({ webhook_id, user_id }: Owned): void {
    this.total--
    change(this.webhooks, webhook_id, -1)
    change(this.users, user_id, -1)
  }

  has(webhookId: number): boolean {
    return this.webhooks.has(webhookId)
  }

  of(webhookId: number): number {
    return this.webhooks.get(webhookId) ?? 0
  }

  webhooksFrom(count: number): number[] {
    return [...this.webhooks].filter(([, n]) => n >= count).map(([id]) => id)
  }

  usersFrom(count: number): number[] {
    return [...this.users].filter(([, n]) => n >= count).map(([id]) => id)
  }
}

function change(counts: Map<number, number>, id: number, by: number) {
  const n = (counts.get(id) ?? 0) + by
  if (n > 0) counts.set(id, n)
  else counts.delete(id)
}
