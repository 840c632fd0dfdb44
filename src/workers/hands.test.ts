import type { DueDelivery } from '../db/deliveries.js'
import { Hands } from './hands.js'

const delivery = (user_id: number, webhook_id: number, characters: number) =>
  ({ payload: 'x'.repeat(characters), target: { user_id, webhook_id } }) as DueDelivery

it('counts for each user and for all how many deliveries are in hand, and how large they are', () => {
  const hands = new Hands()
  const few = delivery(1, 11, 900)
  const large = hands.add(few)
  const small = [delivery(2, 21, 10), delivery(2, 22, 10), delivery(2, 22, 10)].map(
    (one) => [hands.add(one), one] as const,
  )

  expect(hands.all).toEqual({ total: 4, characters: 930 })
  expect(hands.usersFrom({ total: 3, characters: 900 })).toEqual([1, 2])
  expect(hands.usersFrom({ total: 4, characters: 31 })).toEqual([1])
  expect(hands.busyWebhooks(2)).toEqual([22])
  large.shut = true
  expect(hands.busyWebhooks(2)).toEqual([11, 22])

  hands.remove(large, few)
  hands.remove(large, few)
  for (const [hand, one] of small) hands.remove(hand, one)
  expect(hands.all).toEqual({ total: 0, characters: 0 })
  expect([hands.usersFrom({ total: 0, characters: 0 }), hands.busyWebhooks(0)]).toEqual([[], []])
})
