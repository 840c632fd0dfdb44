import type { Bus } from '../cache/bus.js'
import type { DueDelivery } from '../db/deliveries.js'
import type { Logger } from '../logger.js'
import type { DeliveryService } from '../services/deliveries.js'
import type { Reckoned } from '../services/receiver-health.js'
import { type Hand, Hands, type Held } from './hands.js'
import { Worker } from './worker.js'

const MEBI = 1024 * 1024
/** Deliveries in hand: being attempted, or claimed and waiting for those before them. */
const MAX_IN_HAND = 4_000
/** No more is claimed when their payloads have so many characters: with the last claim the bound of its memory. */
const MAX_CHARACTERS = 16 * MEBI
const PER_CLAIM = 512
const BYTES_PER_CLAIM = MEBI
/** What a webhook gets at once; its backlog stays in the database. */
const PER_WEBHOOK = 16
/** It gets more when it has less than this in hand: a place at a time would be a claim for each delivery. */
const ENOUGH = 8
/**
 * A user who has so much gets no more, however many webhooks there are: with the last claim about a sixth of all, which
 * leaves room for others where several users' receivers hang.
 */
const PER_USER = { total: 200, characters: MAX_CHARACTERS / 10 }
/** What has waited longer than this since its claim is given back, or its lease would lapse during the attempt. */
const FRESH_MS = 25_000
/** A failure that took so long: those behind it in its line would wait as long each, in the places of other numbers. */
const SLOW_MS = 5_000
/** How long attempts may go on after a stop; the process has 10 s. */
const GRACE_MS = 6_000

/** Keeps deliveries in flight, within bounds in all, per user and per webhook, and in order per webhook and number. */
export class DeliveryWorker {
  private readonly worker: Worker
  private readonly hands = new Hands()
  /** Deliveries whose outcome is not written yet, or that are not given back yet. */
  private unfinished = 0
  private readonly waiting: (() => void)[] = []
  private stopping = false
  /** Twice as many as filled the last claim: the queue of each is locked, and a lock is a write. */
  private webhooksPerClaim = PER_CLAIM
  private readonly slowMs: number

  constructor(
    private readonly deliveries: DeliveryService,
    bus: Bus,
    private readonly log: Logger,
    { look_every_ms = 1_000, slow_ms = SLOW_MS } = {},
  ) {
    this.slowMs = slow_ms
    this.worker = new Worker('delivery-worker', { every_ms: look_every_ms, log }, () => this.claimMore())
    bus.on('deliveries.due', () => this.worker.wake())
    bus.on('webhook.changed', ({ id }) => {
      const hand = this.hands.of(id)
      if (hand) hand.shut = true
    })
  }

  start(): void {
    this.worker.start()
  }

  /** Attempts everything that is due now, and what becomes due meanwhile; for tests. */
  async runAll(): Promise<void> {
    do {
      await this.claimMore()
      await this.allFinished()
    } while ((await this.claimMore()) > 0)
  }

  /** Gives back what has not begun, waits for what has, and breaks off what takes too long. */
  async stop(): Promise<void> {
    this.stopping = true
    const timer = setTimeout(() => this.deliveries.breakOff(), GRACE_MS)
    await this.worker.stop()
    await this.allFinished()
    clearTimeout(timer)
    await this.deliveries.leave().catch((err: unknown) => this.log.warn({ err }, 'held queues lapse by themselves'))
  }

  private async allFinished(): Promise<void> {
    while (this.unfinished > 0) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  private async claimMore(): Promise<number> {
    if (this.stopping || !this.hasRoom()) return 0
    const busy = { webhooks: this.hands.busyWebhooks(ENOUGH), users: this.hands.usersFrom(PER_USER) }
    const limits = {
      total: PER_CLAIM,
      webhooks: this.webhooksPerClaim,
      per_webhook: PER_WEBHOOK,
      bytes: BYTES_PER_CLAIM,
    }
    const { due, webhooks, full, more } = await this.deliveries.claim(
      limits,
      busy,
      (id) => this.hands.of(id)?.deliveries ?? [],
    )
    // What fills a claim may all be of webhooks that are disabled, and is left.
    this.webhooksPerClaim = full && webhooks > 0 ? 2 * webhooks : PER_CLAIM
    const claimed = performance.now()
    for (const delivery of due) this.launch({ delivery, claimed })
    if (more) this.worker.wake()
    return due.length
  }

  private hasRoom(): boolean {
    const { total, characters } = this.hands.all
    return total <= MAX_IN_HAND - PER_CLAIM && characters < MAX_CHARACTERS
  }

  /** Puts it in the line of its phone number. */
  private launch(held: Held) {
    this.unfinished++
    const hand = this.hands.add(held.delivery)
    if (hand.deliveries.length >= PER_WEBHOOK) hand.backlogged = true
    const number = held.delivery.phone_number_id
    const line = hand.lines.get(number)
    if (line) line.push(held)
    else void this.work(hand, number, [held])
  }

  /** The next of the line goes when this one has its answer; that it is written down too is not its business. */
  private async work(hand: Hand, number: number | null, line: Held[]) {
    hand.lines.set(number, line)
    for (let held = line.shift(); held; held = line.shift()) {
      const turn = hand.slots.enter()
      if (turn) await turn
      const stuck = await this.attempt(hand, held)
      hand.slots.leave()
      if (stuck)
        for (const { delivery } of line.splice(0)) void this.conclude(hand, delivery, this.release(hand, delivery))
    }
    hand.lines.delete(number)
  }

  /** Resolves when there is an answer, or, true, once it is written how slowly it failed; never rejects. */
  private async attempt(hand: Hand, { delivery, claimed }: Held): Promise<boolean> {
    const stale = performance.now() - claimed > FRESH_MS
    if (stale || this.stopping || hand.shut) {
      void this.conclude(hand, delivery, this.release(hand, delivery))
      return false
    }
    try {
      const finished = await this.deliveries.attempt(delivery)
      const { aborted, ms } = finished.answer
      const written = aborted ? this.release(hand, delivery) : this.deliveries.record(finished)
      const concluded = this.conclude(hand, delivery, written)
      if (ms < this.slowMs || finished.verdict.verdict === 'delivered') return false
      await concluded
      return true
    } catch (err) {
      this.giveUp(err, hand, delivery)
      return false
    }
  }

  /** Out of hand first: the claim that the release wakes must find it. */
  private release(hand: Hand, delivery: DueDelivery): Promise<void> {
    this.letGo(hand, delivery)
    return this.deliveries.release(delivery)
  }

  private async conclude(hand: Hand, delivery: DueDelivery, written: Promise<Reckoned | void>): Promise<void> {
    try {
      const reckoned = await written
      if (reckoned && !reckoned.may_go_on) hand.shut = true
      this.finish(hand, delivery)
    } catch (err) {
      this.giveUp(err, hand, delivery)
    }
  }

  /** It stays due, and is taken again when the lease lapses. */
  private giveUp(err: unknown, hand: Hand, delivery: DueDelivery) {
    this.log.warn({ err, delivery_id: delivery.id }, 'an attempt could not be recorded')
    this.finish(hand, delivery)
  }

  private finish(hand: Hand, delivery: DueDelivery) {
    this.letGo(hand, delivery)
    if (--this.unfinished === 0) for (const resolve of this.waiting.splice(0)) resolve()
  }

  /** Out of hand; what had no room beside it is looked for. Once is enough: a second time changes nothing. */
  private letGo(hand: Hand, delivery: DueDelivery) {
    const { user_id } = delivery.target
    const [wasFull, wasBusy] = [!this.hasRoom(), this.hands.isUserFrom(PER_USER, user_id)]
    this.hands.remove(hand, delivery)
    const hungry = hand.backlogged && hand.deliveries.length < ENOUGH
    if (hungry) hand.backlogged = false
    const hasRoomAgain = wasFull && this.hasRoom()
    const isFreeAgain = wasBusy && !this.hands.isUserFrom(PER_USER, user_id)
    const isOpenAgain = hand.shut && hand.deliveries.length === 0
    if (hungry || hasRoomAgain || isFreeAgain || isOpenAgain || delivery.probe) this.worker.wake()
  }
}
