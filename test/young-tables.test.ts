import { BEGIN_BY_KEYS, type Queryable } from '../src/db/database.js'
import * as messageQueue from '../src/db/message-queue.js'
import * as outgoing from '../src/db/outgoing-messages.js'
import * as reports from '../src/db/message-reports.js'
import * as messages from '../src/db/messages.js'
import * as webhookQueues from '../src/db/webhook-queues.js'
import { BEGIN_CLAIM } from '../src/services/deliveries.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => void (app = await startTestApp()))
afterAll(() => app.stop())

const planOfSettling = (begin?: string) => planOf((tx) => outgoing.settle(tx, []), begin)

/** How PostgreSQL would do it now that it knows nothing of the messages. */
async function planOf(work: (tx: Queryable) => Promise<unknown>, begin?: string): Promise<string> {
  return app.ctx.db.transaction(async (tx) => {
    const explained: string[] = []
    const explaining: Queryable = {
      async query(text) {
        const plan = await tx.query<{ 'QUERY PLAN': string }>(`explain (generic_plan) ${text}`)
        explained.push(...plan.rows.map((row) => row['QUERY PLAN']))
        return { ...plan, rows: [] }
      },
    }
    await work(explaining)
    return explained.join('\n')
  }, begin)
}

it('finds the messages of a batch by their keys before their table was ever analyzed', async () => {
  const { rows } = await app.db.query<{ reltuples: number }>(
    `select reltuples from pg_class where relname = 'messages'`,
  )
  expect(rows[0]!.reltuples).toBe(-1) // never
  const plan = await planOfSettling(BEGIN_BY_KEYS)
  expect(plan).toContain('messages_pkey')
  expect(plan).not.toMatch(/Seq Scan on messages|Hash Join|Merge Join/)
  // What it would do by itself, and the reason for all this.
  expect(await planOfSettling()).toContain('Seq Scan on messages')
})

it('finds the messages of receipts by their WhatsApp ids, in whatever transaction', async () => {
  const receipt = { phone_number_id: 1, whatsapp_id: 'X', status: 'read' as const }
  for (const begin of [undefined, BEGIN_BY_KEYS]) {
    expect(await planOf((tx) => reports.findChats(tx, [receipt]), begin)).toContain('messages_whatsapp_id_key')
    expect(await planOf((tx) => reports.applyReceipts(tx, [receipt]), begin)).toContain('messages_whatsapp_id_key')
  }
  const plan = await planOf((tx) => reports.applyReceipts(tx, [receipt]), BEGIN_BY_KEYS)
  expect(plan).not.toMatch(/Seq Scan on messages|Hash Join|Merge Join/)
})

it('lists what has failed by the index of what is not well, whichever statuses were listed before', async () => {
  const plan = await planOf((tx) => messages.listOwned(tx, 1, { status: 'failed', limit: 50 }))
  expect(plan).toContain('messages_status_idx')
})

it('finds the queues of a claim by an index that forgets those that are due no more', async () => {
  const scope = { holder: 'nobody', now: new Date(), lease_seconds: 45, busy_webhooks: [], busy_users: [] }
  const plan = await planOf((tx) => webhookQueues.lockDue(tx, scope, 16), BEGIN_CLAIM)
  expect(plan).toContain('Index Scan using webhook_queues_due_idx')
  expect(plan).not.toContain('Bitmap')
})

it.each([
  ['what a send answers', (tx: Queryable) => messages.findOwned(tx, 1, 1)],
  ['what is sent again', (tx: Queryable) => messages.findForRetry(tx, 1, 1)],
  ['whose file is asked for', (tx: Queryable) => messages.findMediaSource(tx, 1, 1)],
  ['what is scheduled', (tx: Queryable) => messageQueue.findScheduled(tx, 1, 1)],
])('finds %s by its id, not among all messages of its user', async (_what, find) => {
  for (const begin of [undefined, BEGIN_BY_KEYS]) {
    const plan = await planOf(find, begin)
    expect(plan).toContain('messages_pkey')
    expect(plan).not.toMatch(/messages_(recipient|status|user)_idx/)
  }
})
