import { Semaphore } from '../clients/semaphore.js'
import type { DueDelivery } from '../db/deliveries.js'

/** Attempts of one webhook at the same time, for different phone numbers: within one they go in order. */
const ATTEMPTS_AT_ONCE = 8

/** A delivery in hand, with the moment of its claim in milliseconds of `performance.now()`. */
export interface Held {
  delivery: DueDelivery
  claimed: number
}

/** What a worker has in hand for one webhook. */
export class Hand {
  /** A few: an array is quicker than a set, and leaves no old tables behind that keep what was once in them. */
  readonly deliveries: DueDelivery[] = []
  /** What waits for the one before it, by phone number; a number has a line while one of its deliveries is tried. */
  readonly lines = new Map<number | null, Held[]>()
  readonly slots = new Semaphore(ATTEMPTS_AT_ONCE)
  /** It may have more than it got. */
  backlogged = false
  /** It must not be tried now: what is in hand goes back. */
  shut = false
}

/** So many deliveries with so many characters in their payloads. */
interface Share {
  total: number
  characters: number
}

const reaches = (share: Share, bound: Share) => share.total >= bound.total || share.characters >= bound.characters

/** All that a worker has in hand, and how much of it belongs to whom. */
export class Hands {
  readonly all: Share = { total: 0, characters: 0 }
  private readonly hands = new Map<number, Hand>()
  private readonly users = new Map<number, Share>()

  add(delivery: DueDelivery): Hand {
    const { webhook_id, user_id } = delivery.target
    const hand = this.hands.get(webhook_id) ?? new Hand()
    if (hand.deliveries.push(delivery) === 1) this.hands.set(webhook_id, hand)
    const share = this.users.get(user_id) ?? { total: 0, characters: 0 }
    if (share.total === 0) this.users.set(user_id, share)
    for (const one of [share, this.all]) {
      one.total++
      one.characters += delivery.payload.length
    }
    return hand
  }

  /** Once is enough: a second time changes nothing. */
  remove(hand: Hand, delivery: DueDelivery): void {
    const { webhook_id, user_id } = delivery.target
    const place = hand.deliveries.indexOf(delivery)
    if (place < 0) return
    hand.deliveries.splice(place, 1)
    if (hand.deliveries.length === 0) this.hands.delete(webhook_id)
    const share = this.users.get(user_id)!
    for (const one of [share, this.all]) {
      one.total--
      one.characters -= delivery.payload.length
    }
    if (share.total === 0) this.users.delete(user_id)
  }

  of(webhookId: number): Hand | undefined {
    return this.hands.get(webhookId)
  }

  isUserFrom(bound: Share, userId: number): boolean {
    const share = this.users.get(userId)
    return share !== undefined && reaches(share, bound)
  }

  /** Webhooks that can take no more now: with at least so many deliveries, or shut until they have none. */
  busyWebhooks(count: number): number[] {
    return [...this.hands].filter(([, { deliveries, shut }]) => shut || deliveries.length >= count).map(([id]) => id)
  }

  /** Users with at least so many deliveries or characters. */
  usersFrom(bound: Share): number[] {
    return [...this.users].filter(([, share]) => reaches(share, bound)).map(([id]) => id)
  }
}
