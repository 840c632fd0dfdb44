import type { Bus } from '../cache/bus.js'
import type { DueDelivery } from '../db/deliveries.js'
import type { Logger } from '../logger.js'
import type { DeliveryService } from '../services/deliveries.js'
import { Worker } from './worker.js'

const MAX_IN_FLIGHT = 128
/** Attempts one webhook may have in flight: a slow one takes no more than these places. */
const PER_WEBHOOK = 8

/** Keeps deliveries in flight, within bounds in all and per webhook, and in order per webhook and number. */
export class DeliveryWorker {
  private readonly worker: Worker
  private readonly perWebhook = new Map<number, number>()
  private readonly chains = new Map<string, Promise<void>>()
  private readonly running = new Set<Promise<void>>()

  constructor(
    private readonly deliveries: DeliveryService,
    bus: Bus,
    private readonly log: Logger,
  ) {
    this.worker = new Worker('delivery-worker', { every_ms: 1_000, log }, () => this.claimMore())
    bus.on('deliveries.due', () => this.worker.wake())
  }

  start(): void {
    this.worker.start()
  }

  /** Attempts everything that is due now, and what becomes due meanwhile; for tests. */
  async runAll(): Promise<void> {
    do {
      await this.claimMore()
      await Promise.all(this.running)
    } while ((await this.claimMore()) > 0)
  }

  async stop(): Promise<void> {
    await this.worker.stop()
    await Promise.allSettled([...this.running])
  }

  private async claimMore(): Promise<number> {
    const room = MAX_IN_FLIGHT - this.running.size
    if (room <= 0) return 0
    const busy = [...this.perWebhook].filter(([, n]) => n >= PER_WEBHOOK).map(([id]) => id)
    const due = await this.deliveries.claim(room, PER_WEBHOOK, busy)
    for (const delivery of due) this.launch(delivery)
    return due.length
  }

  private launch(delivery: DueDelivery) {
    const chain = `${delivery.webhook_id} ${delivery.phone_number_id}`
    const before = this.chains.get(chain) ?? Promise.resolve()
    const run = before
      .then(() => this.deliveries.attempt(delivery))
      .catch((err: unknown) => this.log.warn({ err, delivery_id: delivery.id }, 'an attempt could not be recorded'))
    this.chains.set(chain, run)
    this.running.add(run)
    this.perWebhook.set(delivery.webhook_id, (this.perWebhook.get(delivery.webhook_id) ?? 0) + 1)
    void run.then(() => {
      this.running.delete(run)
      if (this.chains.get(chain) === run) this.chains.delete(chain)
      const left = this.perWebhook.get(delivery.webhook_id)! - 1
      if (left > 0) this.perWebhook.set(delivery.webhook_id, left)
      else this.perWebhook.delete(delivery.webhook_id)
      this.worker.wake()
    })
  }
}
