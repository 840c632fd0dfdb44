import { setTimeout as pause } from 'node:timers/promises'
import { type Faulty, SHORT, startFaulty } from '../support/webhook-faults.js'
import { type Seeded, incomingText, seedNumber, tell } from '../support/webhook-stage.js'

const CLIENTS = 32
const APP_KILLS = SHORT ? 3 : 20
const DATABASE_KILLS = SHORT ? 1 : 3

let faulty: Faulty
beforeAll(async () => {
  faulty = await startFaulty()
})
afterAll(() => faulty.stop())

/** Posts as the engine does: the same bytes again until they are taken. */
async function tellUntilTaken(url: string, engineName: string, body: string): Promise<void> {
  for (;;) {
    const status = await tell(url, engineName, body).catch(() => 0)
    if (status === 200) return
    // Neither a refusal nor an answer that would make the engine forget the event.
    if (status !== 0 && status !== 503) throw new Error(`a genuine event was answered ${status}`)
    await pause(30)
  }
}

it(`stores every acknowledged event once under ${CLIENTS} clients, ${APP_KILLS} kills of the app and ${DATABASE_KILLS} of the database (promise 1)`, async () => {
  const user = await faulty.createUser()
  const numbers: Seeded[] = []
  for (let n = 0; n < 8; n++) numbers.push(await seedNumber(faulty, user))
  let running = true
  const acknowledged: string[] = []
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    const { engine_name } = numbers[client % numbers.length]!
    for (let n = 0; running; n++) {
      const id = `C${client}N${n}`
      await tellUntilTaken(faulty.url, engine_name, JSON.stringify(incomingText(engine_name, id, id)))
      acknowledged.push(id)
    }
  })
  for (let kill = 1; kill <= APP_KILLS; kill++) {
    await pause(700)
    await faulty.app.kill()
    await faulty.app.start()
    if (kill % Math.ceil(APP_KILLS / DATABASE_KILLS) === 0) {
      await pause(500)
      faulty.killDatabase()
      await pause(1_500)
    }
  }
  await pause(700)
  running = false
  await Promise.all(clients)

  const { rows } = await faulty.db.query<{ id: string; stored: number; told: number }>(
    `select m.id, m.stored, coalesce(e.told, 0) as told
       from (select whatsapp_id as id, count(*) as stored from messages where user_id = $1 group by 1) m
       left join (select payload->'data'->'message'->>'whatsapp_id' as id, count(*) as told
                    from events where user_id = $1 group by 1) e using (id)`,
    [user.id],
  )
  const stored = new Set(rows.map((row) => row.id))
  console.log(`${acknowledged.length} events acknowledged`)
  expect(acknowledged.length).toBeGreaterThan(APP_KILLS * 50)
  expect(acknowledged.filter((id) => !stored.has(id))).toEqual([])
  expect(rows.filter((row) => row.stored !== 1 || row.told !== 1)).toEqual([])
  const { rows: feed } = await faulty.db.query<{ n: number; last: number; feed: number }>(
    `select count(*) as n, max(position) as last, (select last_position from feeds where user_id = $1) as feed
       from events where user_id = $1`,
    [user.id],
  )
  expect(feed[0]).toEqual({ n: rows.length, last: rows.length, feed: rows.length })
})
