import { readFileSync } from 'node:fs'
import { SHORT } from '../support/webhook-faults.js'
import { type SendingFaults, startSendingFaults } from '../support/sending-faults.js'
import { QUIET } from '../support/sending.js'
import { eventually } from '../support/test-app.js'

let faults: SendingFaults
beforeAll(async () => {
  faults = await startSendingFaults({ numbers: 6 })
})
afterAll(() => faults.stop())

const WAITING = 100_000
/** As much of it as comes through the API; the rest is copied within the database. */
const BY_API = SHORT ? 5_000 : WAITING

const megabytes = () =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${faults.child.pid}/status`, 'utf8'))![1]) / 1024

async function post(path: string, body?: object) {
  const headers = { 'content-type': 'application/json', 'x-api-key': faults.user.api_key }
  const answer = await fetch(faults.child.url + path, { method: 'POST', headers, body: JSON.stringify(body ?? {}) })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

/** Of many accepts one of the quicker ones, in milliseconds: what else runs here shall not decide. */
async function acceptTime(token: string): Promise<number> {
  const times: number[] = []
  for (let n = 0; n < 150; n++) {
    const began = performance.now()
    await post('/api/messages/send-text?wait=0', { token, number: QUIET, text: `timed ${n}` })
    times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 4)]!
}

async function fill(phones: { id: number; token: string }[]) {
  for (let n = 0; n < BY_API / 1_000; n++) {
    const messages = Array.from({ length: 1_000 }, (_, i) => ({ number: QUIET, text: `bulk ${n} ${i}` }))
    await post('/api/messages/bulk', { token: phones[n % phones.length]!.token, messages })
  }
  await faults.db.query(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, fingerprint, priority,
                           quota_day, status, history)
     select user_id, phone_number_id, direction, source, type, recipient, content, fingerprint, priority, quota_day,
            status, history
       from (select * from messages where status = 'queued' order by id limit 1000) m, generate_series(1, $1)`,
    [(WAITING - BY_API) / 1_000],
  )
  await faults.db.query(`update daily_usage set used = (select count(*) from messages where not refunded)`)
}

const waiting = async () =>
  (await faults.db.query<{ n: number }>(`select count(*) as n from messages where status = 'queued'`)).rows[0]!.n

it('100,000 waiting messages neither fill the memory nor slow the accept path, and they drain', async () => {
  const [quiet, ...busy] = faults.phones
  await acceptTime(quiet!.token) // warm
  const before = await acceptTime(quiet!.token)
  for (const { id } of busy) await post(`/api/phone-numbers/${id}/queue/pause`)
  await fill(busy)
  expect(await waiting()).toBeGreaterThanOrEqual(WAITING)
  await faults.db.query('vacuum analyze messages')
  const after = await acceptTime(quiet!.token)
  for (const { id } of busy) await post(`/api/phone-numbers/${id}/queue/resume`)
  const full = await waiting()
  await eventually(async () => (await waiting()) < full - (SHORT ? 300 : 3_000), 120_000)
  const peak = megabytes()
  process.stdout.write(`accept ${before.toFixed(1)} → ${after.toFixed(1)} ms, peak ${peak.toFixed(0)} MB\n`)
  expect(peak).toBeLessThan(300)
  expect(after / before).toBeLessThan(2)
})
