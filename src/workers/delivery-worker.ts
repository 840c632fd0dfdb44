import type { Bus } from '../cache/bus.js'
import { Semaphore } from '../clients/semaphore.js'
import type { WebhookPost } from '../clients/webhook-post.js'
import type { DueDelivery } from '../db/deliveries.js'
import type { Logger } from '../logger.js'
import type { DeliveryService } from '../services/deliveries.js'
import { Shares } from './shares.js'
import { Worker } from './worker.js'

/** Deliveries in hand: being attempted, or claimed and waiting for those before them. */
const MAX_IN_HAND = 2_000
const PER_CLAIM = 256
/** What a webhook gets at once; its backlog stays in the database. */
const PER_WEBHOOK = 16
/** It gets more when it has less than this in hand: a place at a time would be a claim for each delivery. */
const ENOUGH = 8
/** No user's webhooks take more than a part, however many they are. */
const PER_USER = 200
/** Attempts of one webhook at the same time, for different phone numbers: within one they go in order. */
const ATTEMPTS_PER_WEBHOOK = 8
/** What has waited longer than this since its claim is given back, or its lease would lapse during the attempt. */
const FRESH_MS = 25_000
/** How long attempts may go on after a stop; the process has 10 s. */
const GRACE_MS = 6_000

/** Keeps deliveries in flight, within bounds in all, per user and per webhook, and in order per webhook and number. */
export class DeliveryWorker {
  private readonly worker: Worker
  private readonly inHand = new Shares()
  private readonly slots = new Map<number, Semaphore>()
  private readonly chains = new Map<string, Promise<void>>()
  /** Webhooks that may have more than they got. */
  private readonly backlogged = new Set<number>()
  private readonly running = new Set<Promise<void>>()
  /** Webhooks that must not be tried now: what is in hand for them goes back. */
  private readonly shut = new Set<number>()
  private readonly posts = new Set<WebhookPost>()
  private stopping = false

  constructor(
    private readonly deliveries: DeliveryService,
    bus: Bus,
    private readonly log: Logger,
  ) {
    this.worker = new Worker('delivery-worker', { every_ms: 1_000, log }, () => this.claimMore())
    bus.on('deliveries.due', () => this.worker.wake())
    bus.on('webhook.changed', ({ id }) => this.inHand.has(id) && this.shut.add(id))
  }

  start(): void {
    this.worker.start()
  }

  /** Attempts everything that is due now, and what becomes due meanwhile; for tests. */
  async runAll(): Promise<void> {
    do {
      await this.claimMore()
      while (this.running.size > 0) await Promise.all(this.running)
    } while ((await this.claimMore()) > 0)
  }

  /** Gives back what has not begun, waits for what has, and breaks off what takes too long. */
  async stop(): Promise<void> {
    this.stopping = true
    const timer = setTimeout(() => this.breakOff(), GRACE_MS)
    await this.worker.stop()
    while (this.running.size > 0) await Promise.allSettled([...this.running])
    clearTimeout(timer)
    await this.deliveries.leave().catch((err: unknown) => this.log.warn({ err }, 'held queues lapse by themselves'))
  }

  private breakOff() {
    for (const post of this.posts) post.breakOff()
  }

  private async claimMore(): Promise<number> {
    const room = MAX_IN_HAND - this.inHand.total
    if (this.stopping || room < PER_CLAIM) return 0
    const busy = { webhooks: this.inHand.webhooksFrom(ENOUGH), users: this.inHand.usersFrom(PER_USER) }
    const limits = { total: PER_CLAIM, per_webhook: PER_WEBHOOK }
    const { due, more } = await this.deliveries.claim(limits, busy, (id) => this.inHand.of(id))
    for (const { target } of due) if (!this.inHand.has(target.webhook_id)) this.shut.delete(target.webhook_id)
    for (const delivery of due) this.launch(delivery)
    for (const id of this.inHand.webhooksFrom(PER_WEBHOOK)) this.backlogged.add(id)
    if (more) this.worker.wake()
    return due.length
  }

  private launch(delivery: DueDelivery) {
    const { webhook_id } = delivery.target
    const claimed = performance.now()
    const chain = `${webhook_id} ${delivery.phone_number_id}`
    const slots = this.slots.get(webhook_id) ?? new Semaphore(ATTEMPTS_PER_WEBHOOK)
    this.slots.set(webhook_id, slots)
    this.inHand.add(delivery)
    const before = this.chains.get(chain) ?? Promise.resolve()
    const answered = before.then(() => slots.run(() => this.attempt(delivery, claimed)))
    // The next of the chain goes when this one has its answer; that it is written down too is not its business.
    const link = answered.then(
      () => undefined,
      () => undefined,
    )
    const run: Promise<void> = answered
      .then(({ recorded }) => recorded)
      .catch((err: unknown) => this.log.warn({ err, delivery_id: delivery.id }, 'an attempt could not be recorded'))
      .then(() => this.finish(delivery, chain, link, run))
    this.chains.set(chain, link)
    this.running.add(run)
  }

  /** Resolves when there is an answer, with the promise that it is recorded. */
  private async attempt(delivery: DueDelivery, claimed: number): Promise<{ recorded: Promise<void> }> {
    const stale = performance.now() - claimed > FRESH_MS
    if (stale || this.stopping || this.shut.has(delivery.target.webhook_id)) return { recorded: this.release(delivery) }
    const finished = await this.deliveries.attempt(delivery, this.posts)
    if (finished.answer.aborted) return { recorded: this.release(delivery) }
    const recorded = this.deliveries.record(finished).then(({ may_go_on }) => {
      if (!may_go_on) this.shut.add(delivery.target.webhook_id)
    })
    return { recorded }
  }

  /** Out of hand first: the claim that the release wakes must find it. */
  private release(delivery: DueDelivery): Promise<void> {
    this.inHand.remove(delivery)
    return this.deliveries.release(delivery)
  }

  private finish(delivery: DueDelivery, chain: string, link: Promise<void>, run: Promise<void>) {
    const { webhook_id } = delivery.target
    this.running.delete(run)
    if (this.chains.get(chain) === link) this.chains.delete(chain)
    const wasFull = this.inHand.total > MAX_IN_HAND - PER_CLAIM
    this.inHand.remove(delivery)
    const hungry = this.backlogged.has(webhook_id) && this.inHand.count(webhook_id) < ENOUGH
    if (hungry) this.backlogged.delete(webhook_id)
    if (!this.inHand.has(webhook_id)) {
      this.slots.delete(webhook_id)
      this.shut.delete(webhook_id)
    }
    if (hungry || wasFull || delivery.probe) this.worker.wake()
  }
}
