import type { Transaction } from '../src/db/database.js'
import { differences } from './support/open-deliveries.js'
import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'
import { createWebhook } from './support/webhook-stage.js'

let app: TestApp
let user: TestUser
let webhook: { id: number }
beforeAll(async () => {
  app = await startTestApp({ env: { ROLE: 'api' }, servers: 1 })
  user = await app.createUser()
  webhook = await createWebhook(user, { url: 'http://127.0.0.1:9/' })
})
afterAll(() => app.stop())

/** Deliveries of new events, as ids. */
async function owe(tx: Transaction, count: number, status: string): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>(
    `with taken as (
       update feeds set last_position = last_position + $2 where user_id = $1 returning last_position),
     told as (
       insert into events (public_id, user_id, position, type, payload)
       select 'evt_' || gen_random_uuid(), $1, last_position - n, 'message.received', '{}'
         from taken, generate_series(0, $2 - 1) n
       returning id)
     insert into deliveries (event_id, webhook_id, status) select id, $3, $4 from told returning id`,
    [user.id, count, webhook.id, status],
  )
  return rows.map(({ id }) => id)
}

/** Runs `work` in a transaction that leaves nothing behind. */
async function tried(work: (tx: Transaction) => Promise<void>): Promise<void> {
  const enough = new Error('enough')
  const transaction = app.ctx.db.transaction(async (tx) => {
    await work(tx)
    throw enough
  })
  await expect(transaction).rejects.toBe(enough)
}

it('a delivery stands with the pending, with the failed, or with neither, whoever writes it', async () => {
  const states = ['pending', 'failed', 'delivered']
  await tried(async (tx) => {
    for (const before of states)
      for (const after of states) {
        const ids = await owe(tx, 3, before)
        expect(await differences(tx)).toEqual([])
        await tx.query(
          `update deliveries set status = $2, due_at = due_at + interval '1 s', claims = claims + 1 where id = any($1)`,
          [ids, after],
        )
        expect(await differences(tx)).toEqual([])
      }
    const { rows } = await tx.query(
      `select (select count(*) from pending_deliveries) as pending, (select count(*) from failed_deliveries) as failed`,
    )
    expect(rows).toEqual([{ pending: 9, failed: 9 }])
    await tx.query('delete from deliveries where id % 2 = 0')
    expect(await differences(tx)).toEqual([])
    await tx.query('delete from events where user_id = $1', [user.id])
    expect(await differences(tx)).toEqual([])
    expect((await tx.query('select from pending_deliveries union all select from failed_deliveries')).rowCount).toBe(0)
  })
})

it('is found there by its keys, though the statements were planned when there was none', async () => {
  await tried(async (tx) => {
    const settle = (ids: number[], status: string) =>
      tx.query('update deliveries set status = $2 where id = any($1)', [ids, status])
    const readWhole = async () => {
      const { rows } = await tx.query<{ n: number }>(
        `select sum(seq_tup_read)::integer as n from pg_stat_xact_user_tables
          where relname in ('pending_deliveries', 'failed_deliveries')`,
      )
      return rows[0]!.n
    }
    await settle(await owe(tx, 1, 'pending'), 'delivered')
    const ids = await owe(tx, 500, 'pending')
    const before = await readWhole()
    for (let n = 0; n < 20; n++) {
      await settle(ids.slice(n * 10, n * 10 + 5), 'delivered')
      await settle(ids.slice(n * 10 + 5, n * 10 + 10), 'failed')
    }
    await settle(ids, 'delivered')
    expect(await readWhole()).toBe(before)
  })
})
