import { BEGIN_BY_KEYS, type Queryable } from '../src/db/database.js'
import * as messageQueue from '../src/db/message-queue.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => void (app = await startTestApp()))
afterAll(() => app.stop())

/** How PostgreSQL would write outcomes now that it knows nothing of the messages. */
async function planOfSettling(begin?: string): Promise<string> {
  return app.ctx.db.transaction(async (tx) => {
    const explained: string[] = []
    const explaining: Queryable = {
      async query(text) {
        const plan = await tx.query<{ 'QUERY PLAN': string }>(`explain (generic_plan) ${text}`)
        explained.push(...plan.rows.map((row) => row['QUERY PLAN']))
        return { ...plan, rows: [] }
      },
    }
    await messageQueue.settle(explaining, [])
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
