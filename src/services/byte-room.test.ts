import { ByteRoom } from './byte-room.js'

/** Enters these one after the other; answers who is inside, by its place in the list, and how they leave. */
async function crowd(room: ByteRoom, places: [user_id: number, bytes: number][]) {
  const inside = new Map<number, () => void>()
  const turns = places.map(([user_id, bytes], n) => {
    const turn = room.enter({ user_id, bytes })
    void turn.inside.then((leave) => inside.set(n, leave))
    return turn
  })
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
  await settle()
  return {
    inside: () => [...inside.keys()].sort((a, b) => a - b),
    leave: async (n: number) => {
      inside.get(n)!()
      inside.delete(n)
      await settle()
    },
    giveUp: async (n: number) => {
      turns[n]!.giveUp()
      await settle()
    },
  }
}

it('lets in what fits, in the order they came', async () => {
  const { inside, leave } = await crowd(new ByteRoom(100), [
    [1, 40],
    [2, 40],
    [3, 30],
    [4, 10],
  ])
  expect(inside()).toEqual([0, 1])
  await leave(0)
  expect(inside()).toEqual([1, 2, 3])
})

it('lets a user have half of it, and passes by what they have in line', async () => {
  const { inside, leave } = await crowd(new ByteRoom(100), [
    [1, 30],
    [1, 30],
    [1, 10],
    [2, 30],
  ])
  expect(inside()).toEqual([0, 3])
  await leave(0)
  expect(inside()).toEqual([1, 2, 3])
})

it('keeps no large one waiting for the small ones of the same user', async () => {
  const { inside, leave } = await crowd(new ByteRoom(100), [
    [1, 10],
    [1, 60],
    [1, 10],
  ])
  expect(inside()).toEqual([0])
  await leave(0)
  expect(inside()).toEqual([1])
})

it('lets in what is larger than itself when it is empty', async () => {
  const { inside, leave } = await crowd(new ByteRoom(100), [
    [1, 10],
    [2, 500],
    [3, 10],
  ])
  expect(inside()).toEqual([0])
  await leave(0)
  expect(inside()).toEqual([1])
  await leave(1)
  expect(inside()).toEqual([2])
})

it('forgets who gives up, and goes on without them; leaving twice leaves once', async () => {
  const room = new ByteRoom(100)
  const { inside, giveUp } = await crowd(room, [
    [1, 60],
    [2, 60],
    [3, 40],
  ])
  expect([inside(), room.depth, room.depthOf(2)]).toEqual([[0], 2, 1])
  await giveUp(1)
  expect([inside(), room.depth]).toEqual([[0, 2], 0])
  await giveUp(0)
  expect(inside()).toEqual([0, 2])
  const leave = await new ByteRoom(10).enter({ user_id: 1, bytes: 10 }).inside
  leave()
  leave()
})
