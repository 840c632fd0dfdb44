import { setTimeout as pause } from 'node:timers/promises'
import { startTestApp } from '../support/test-app.js'
import { SHORT } from '../support/webhook-faults.js'
import { Receivers } from '../support/webhook-receivers.js'
import { createWebhook, incomingText, seedNumber, tell } from '../support/webhook-stage.js'

const EVENTS = SHORT ? 150 : 400

it('one dead and one slow webhook among 50 leave the other 48 within 1.5 × of their p99 (promise 15)', async () => {
  const app = await startTestApp({ servers: 1 })
  let sick = false
  const receivers = await Receivers.start((path) => {
    if (path === '/0') return sick ? 'hang' : 200
    if (path === '/1') return sick ? { status: 200, after_ms: 5_000 } : 200
    return 200
  })
  const user = await app.createUser()
  const phone = await seedNumber(app, user)
  for (let n = 0; n < 50; n++)
    await createWebhook(user, { url: receivers.url(`/${n}`), event_types: ['message.received'] })

  const round = async () => {
    receivers.seen.length = 0
    const sentAt = new Map<string, number>()
    for (let n = 0; n < EVENTS; n++) {
      const id = `${sick}${n}${Math.random()}`
      sentAt.set(id, performance.now())
      await tell(app.url, phone.engine_name, incomingText(phone.engine_name, id))
      await pause(25)
    }
    const healthy = () => receivers.seen.filter(({ path }) => path !== '/0' && path !== '/1')
    for (let tries = 0; healthy().length < EVENTS * 48 && tries < 600; tries++) await pause(50)
    expect(healthy()).toHaveLength(EVENTS * 48)
    const latencies = healthy().map(({ text, at }) => at - sentAt.get(JSON.parse(text).data.message.content.text)!)
    return latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)]!
  }
  await round() // warms up
  const before = await round()
  sick = true
  const after = await round()
  sick = false
  const again = await round()
  const baseline = Math.max(before, again)
  console.log(`p99 of the 48: ${Math.round(baseline)} ms alone, ${Math.round(after)} ms beside a dead and a slow one`)
  expect(after).toBeLessThanOrEqual(1.5 * baseline)
  await app.stop()
  await receivers.stop()
})
