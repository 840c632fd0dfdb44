import { setTimeout as pause } from 'node:timers/promises'
import {
  Callers,
  type Point,
  type SendingFaults,
  expectNothingLostOrDoubled,
  restart,
  startSendingFaults,
} from '../support/sending-faults.js'
import { eventually } from '../support/test-app.js'
import { SHORT } from '../support/webhook-faults.js'

let faults: SendingFaults
let callers: Callers
beforeEach(async () => {
  faults = await startSendingFaults({ numbers: 4 })
  callers = new Callers(faults.child.url, faults.user, faults.phones)
})
afterEach(() => faults.stop())

const POINTS: Point[] = (['accept', 'settle', 'engine'] as const).flatMap((around) => [
  { around, when: 'before' },
  { around, when: 'after' },
])

it('loses and doubles nothing when it is killed around each commit and each call of the engine', async () => {
  for (const point of POINTS)
    for (const nth of SHORT ? [2] : [1, 2, 5, 11]) {
      faults.trap.set(point, nth, () => void faults.child.kill())
      const round = [1, 2, 3, 4].map(() => callers.start(SHORT ? 4 : 8))
      await eventually(() => Promise.resolve(!faults.trap.isSet), 60_000)
      await restart(faults)
      await Promise.all(round)
    }
  await expectNothingLostOrDoubled(faults, callers)
})

it('loses and doubles nothing when a connection is cut around each commit and each call, and it lives on', async () => {
  for (const point of POINTS) {
    faults.trap.set(point, 2, () => undefined)
    const round = [1, 2, 3, 4].map(() => callers.start(4))
    await eventually(() => Promise.resolve(!faults.trap.isSet), 60_000)
    await Promise.all(round)
  }
  await expectNothingLostOrDoubled(faults, callers)
})

it('loses and doubles nothing when it is killed at random moments under load', async () => {
  const kills = SHORT ? 4 : 20
  const load = Array.from({ length: 8 }, () => callers.start(1_000_000))
  for (let kill = 0; kill < kills; kill++) {
    await pause(300 + Math.random() * 1_200)
    await restart(faults)
  }
  callers.stop()
  await Promise.all(load)
  await expectNothingLostOrDoubled(faults, callers)
  expect(callers.ids.size).toBeGreaterThan(kills)
})
