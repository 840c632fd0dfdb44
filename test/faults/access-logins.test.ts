import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { COUNTED_FROM, type Call, type Score } from '../support/callers.js'
import { type ChildServer, startChild } from '../support/child-server.js'
import { QUIET, newSender } from '../support/sending.js'
import { type CallersOutside, describeScores, startCallers } from '../support/start-callers.js'
import { type TestApp, startTestApp } from '../support/test-app.js'
import { SHORT } from '../support/webhook-faults.js'

const LOGINS = 200
const ROUNDS = SHORT ? 3 : 9
/** The promise's bar over many rounds; over a few only a crowd that takes every core is told from a busy neighbour. */
const BAR = SHORT ? 3 : 1.5

let app: TestApp
let child: ChildServer
let senders: CallersOutside
let crowd: CallersOutside
beforeAll(async () => {
  app = await startTestApp({ sandbox: { slow_ms: 5 } })
  child = await startChild(app)
  senders = await startCallers(child)
  crowd = await startCallers(child)
})
afterAll(async () => {
  await Promise.all([senders.stop(), crowd.stop()])
  await child.end('SIGTERM')
  await app.stop()
})

const json = { 'content-type': 'application/json' }

/** As many users as log in at once, all with one password: guesses at one user would only wait for each other. */
async function logins(): Promise<Call[]> {
  const { id, password } = await app.createUser()
  await app.db.query(
    `insert into users (email, password_hash, api_key, plan_type, max_phone_numbers, max_messages_per_day, time_zone)
     select 'many' || n || '@example.com', password_hash, 'wsk_…', plan_type, 3, 1000, time_zone
       from users, generate_series(0, $2 - 1) n where id = $1`,
    [id, LOGINS],
  )
  return Array.from({ length: LOGINS }, (_, n) => ({
    method: 'POST',
    path: '/api/auth/login',
    headers: json,
    body: JSON.stringify({ email: `many${n}@example.com`, password }),
  }))
}

/** One core does nothing else meanwhile. */
async function withBusyCore<T>(work: () => Promise<T>): Promise<T> {
  const busy = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
  try {
    return await work()
  } finally {
    const ended = once(busy, 'exit')
    busy.kill('SIGKILL')
    await ended
  }
}

const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!

it('two hundred logins at once slow sends down no more than any other work on one core would', async () => {
  const { user, phone } = await newSender(app)
  await app.db.query('update users set max_messages_per_day = 1000000000 where id = $1', [user.id])
  const send: Call = {
    method: 'POST',
    path: '/api/messages/send-text?wait=0',
    headers: { ...json, 'x-api-key': user.api_key },
    body: JSON.stringify({ token: phone.token, number: QUIET, text: 'Your order is on its way.' }),
  }
  const people = await logins()
  const wave = async () => {
    const began = performance.now()
    const [{ statuses }] = (await crowd.run(people, [{ name: 'logins', ms: 1, callers: LOGINS }])) as [Score]
    expect(statuses).toEqual({ 200: LOGINS })
    return performance.now() - began
  }
  const wave_ms = await wave()
  // What is counted of a phase is as long as a wave takes.
  const ms = wave_ms / (1 - COUNTED_FROM)
  const sends = async (name: string) => (await senders.run([send], [{ name, ms, callers: 4 }]))[0]!
  const ratios: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    // Side by side, since a machine has better and worse moments.
    const busy = await withBusyCore(() => sends('one core busy'))
    const [among] = await Promise.all([sends('among logins'), pause(ms - wave_ms).then(wave)])
    console.log(describeScores([busy, among]))
    ratios.push(among.p99 / busy.p99)
  }
  console.log(`p99 among logins, to that with one core busy: ${ratios.map((one) => one.toFixed(2)).join(', ')}`)
  expect(median(ratios)).toBeLessThan(BAR)
})
