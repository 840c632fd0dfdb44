import { BEGIN_BY_KEYS, BEGIN_IN_PARTS, type Queryable } from '../src/db/database.js'
import * as deliveryOutcomes from '../src/db/delivery-outcomes.js'
import * as deliveryLists from '../src/db/delivery-lists.js'
import type { DeliveryStatus } from '../src/db/delivery-lists.js'
import * as messageQueue from '../src/db/message-queue.js'
import * as messages from '../src/db/messages.js'
import * as unconfirmed from '../src/db/unconfirmed-messages.js'
import { type Explained, type Plan, stepsIn } from './support/plans.js'
import { type ConnectedNumber, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

const MANY = 300

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(() => app.stop())

/** The steps of what `work` asks, done once and undone. */
async function stepsOf(work: (tx: Queryable) => Promise<unknown>, begin?: string): Promise<Plan[]> {
  const steps: Plan[] = []
  const done = app.ctx.db.transaction(async (tx) => {
    await work({
      async query(text, values) {
        const { rows } = await tx.query<Explained>(`explain (analyze, format json) ${text}`, values)
        steps.push(...stepsIn(rows))
        return { rows: [], rowCount: 0 } as never
      },
    })
    throw new Error('undone')
  }, begin)
  await expect(done).rejects.toThrow('undone')
  return steps
}

let position = 2_000_000
/** Deliveries of new events to each of these webhooks, as ids. */
async function owe(webhookIds: number[], count: number): Promise<number[]> {
  position += count
  const { rows } = await app.db.query<{ id: number }>(
    `with told as (
       insert into events (public_id, user_id, position, type, payload)
       select 'evt_' || gen_random_uuid(), $1, $2::bigint - n, 'message.sent', '{}' from generate_series(1, $4) n returning id)
     insert into deliveries (event_id, webhook_id) select id, unnest($3::bigint[]) from told returning id`,
    [user.id, position, webhookIds, count],
  )
  return rows.map(({ id }) => id)
}

const rowsRead = (steps: Plan[], table: string) =>
  steps
    .filter((step) => step['Relation Name'] === table)
    .reduce(
      (sum, step) => sum + (step['Actual Rows']! + (step['Rows Removed by Filter'] ?? 0)) * step['Actual Loops']!,
      0,
    )

it('a report about a send is not compared with all that is unconfirmed, nor with all reports', async () => {
  await app.db.query(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, generation,
                           fingerprint, starts_at)
     select $1, $2, 'outgoing', 'api', 'text', '628000000' || n, '{}', 'unconfirmed', 1, sha256(n::text::bytea), now()
       from generate_series(1, ${MANY}) n`,
    [user.id, phone.id],
  )
  await app.db.query(
    `insert into early_receipts (phone_number_id, whatsapp_id, status, generation, recipient, fingerprint, sent_at)
     select $1, 'R' || n, 'sent', 1, '628000000' || n, sha256(n::text::bytea), now() from generate_series(1, ${MANY}) n`,
    [phone.id],
  )
  const told = [{ phone_number_id: phone.id, whatsapp_id: 'R7', status: 'sent' as const }]
  const steps = await stepsOf((tx) => unconfirmed.findExplained(tx, [phone.id], told), BEGIN_BY_KEYS)
  expect(rowsRead(steps, 'early_receipts')).toBeLessThan(2 * MANY)
  const found = await app.ctx.db.transaction((tx) => unconfirmed.findExplained(tx, [phone.id], told))
  expect(found.map(({ whatsapp_id }) => whatsapp_id)).toEqual(['R7'])
  expect(await app.ctx.db.transaction((tx) => unconfirmed.findExplained(tx, [phone.id]))).toHaveLength(MANY)
})

it('an answer of one contact does not read what waits for all the others', async () => {
  await app.db.query(
    `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status, new_contact)
     select $1, $2, 'outgoing', 'api', 'text', '628111000' || n, '{}', 'queued', true from generate_series(1, ${MANY}) n`,
    [user.id, phone.id],
  )
  const contact = { user_id: user.id, phone_number_id: phone.id, recipient: '6281110007' }
  const steps = await stepsOf((tx) => messageQueue.markKnown(tx, [contact]), BEGIN_BY_KEYS)
  expect(rowsRead(steps, 'messages')).toBeLessThan(5)
  expect(await app.ctx.db.transaction((tx) => messageQueue.markKnown(tx, [contact]))).toEqual([phone.id])
  expect(await app.ctx.db.transaction((tx) => messageQueue.markKnown(tx, [contact]))).toEqual([])
})

it('a page of messages is read along its index, whoever wrote since and however many there are', async () => {
  const [busy, quiet] = [await app.createUser(), await app.createUser()]
  const numbers = await Promise.all([busy, quiet].map((who) => app.connectedNumber(who)))
  const write = (who: number) =>
    app.db.query(
      `insert into messages (user_id, phone_number_id, direction, source, type, recipient, content, status)
       select $1, $2, case when n % 10 = 0 then 'incoming' else 'outgoing' end, 'api', 'text', '628222', '{}', 'sent'
         from generate_series(1, ${10 * MANY}) n`,
      [[busy, quiet][who]!.id, numbers[who]!.id],
    )
  for (const who of [1, 0]) await write(who)
  const filters = [
    {},
    { phone_number_id: numbers[1]!.id },
    { direction: 'outgoing' as const },
    { direction: 'incoming' as const },
  ]
  for (const known of [false, true]) {
    if (known) await app.db.query('analyze messages')
    for (const filter of filters) {
      const page = { ...filter, limit: 51 }
      const steps = await stepsOf((tx) => messages.listOwned(tx, quiet.id, page), BEGIN_IN_PARTS)
      expect({ filter, known, few: rowsRead(steps, 'messages') < 200 }).toEqual({ filter, known, few: true })
    }
  }
})

it('a list of deliveries looks at its webhook once', async () => {
  const { body } = await user.post('/api/webhooks', { url: 'http://127.0.0.1:9/', enabled: false })
  await app.db.query(
    `with told as (
       insert into events (public_id, user_id, position, type, payload)
       select 'evt_many_' || n, $1, 1000000 + n, 'message.sent', '{}' from generate_series(1, ${MANY}) n returning id)
     insert into deliveries (event_id, webhook_id, status) select id, $2, 'delivered' from told`,
    [user.id, body.webhook.id],
  )
  const page = { limit: 50 }
  const none = { event_types: ['contact.typing'] }
  const steps = await stepsOf((tx) => deliveryLists.listOwned(tx, user.id, body.webhook.id, none, page))
  expect(rowsRead(steps, 'webhooks')).toBeLessThan(MANY / 10)
})

it.each([
  ['nothing is known of the table', undefined],
  ['next to nothing was pending when it was looked at', 'vacuum analyze pending_deliveries'],
])('outcomes find their deliveries by their keys, also while %s', async (_title, look) => {
  const { body } = await user.post('/api/webhooks', { url: 'http://127.0.0.1:9/', enabled: false })
  const webhook_id = body.webhook.id as number
  await app.db.query('truncate pending_deliveries')
  const few = await owe([webhook_id], 2)
  if (look) await app.db.query(look)
  const ids = [...few, ...(await owe([webhook_id], MANY))]
  const holder = 'the worker of this story'
  await app.db.query('update webhook_queues set holder = $1 where webhook_id = $2', [holder, webhook_id])
  const at = new Date()
  const outcomes = ids.map((id): deliveryOutcomes.Outcome => ({
    ...{ delivery_id: id, version: 0, status: 'delivered', due_at: null, attempt: 1 },
    ...{ event_id: 'evt_owed', event_type: 'message.sent', status_code: 200, error: null, response_body: 'ok' },
    ...{ response_time_ms: 1, sent_at: at },
  }))
  const steps = await stepsOf((tx) => deliveryOutcomes.settle(tx, holder, at, outcomes), BEGIN_BY_KEYS)
  const passes = steps.filter((step) => step['Node Type'] === 'Function Scan').map((step) => step['Actual Loops']!)
  expect(Math.max(...passes)).toBe(1)
  const settle = (who: string) => app.ctx.db.transaction((tx) => deliveryOutcomes.settle(tx, who, at, outcomes))
  expect([...(await settle('another'))]).toEqual(outcomes) // late, and not written
  expect(await settle(holder)).toEqual(new Set())
  const { rows: sent } = await app.db.query('select distinct sent_at from webhook_logs where delivery_id = any($1)', [
    ids,
  ])
  expect(sent).toEqual([{ sent_at: at }])
})

it('a list of what is pending or has failed does not look through what was delivered', async () => {
  const made = await Promise.all(
    [1, 2].map(() => user.post('/api/webhooks', { url: 'http://127.0.0.1:9/', enabled: false })),
  )
  const [quiet, owed] = made.map(({ body }) => body.webhook.id as number)
  const list = (id: number, status: DeliveryStatus, begin?: string) =>
    stepsOf((tx) => deliveryLists.listOwned(tx, user.id, id, { status }, { limit: 50 }), begin)
  await owe([quiet!, owed!], MANY * 10)
  await app.db.query('delete from pending_deliveries where webhook_id = $1', [quiet])
  // Each that was delivered is looked up, though next to nothing, or nothing, was pending when somebody looked.
  await app.db.query('create table was_pending as table pending_deliveries')
  for (const few of [0, 2]) {
    await app.db.query('delete from pending_deliveries')
    if (few > 0) await owe([owed!], few)
    await app.db.query('vacuum (truncate false, analyze) pending_deliveries')
    await app.db.query('insert into pending_deliveries select * from was_pending')
    expect(rowsRead(await list(quiet!, 'delivered', BEGIN_BY_KEYS), 'pending_deliveries')).toBe(0)
  }
  await app.db.query('drop table was_pending')
  await app.db.query('analyze deliveries, pending_deliveries, events')
  for (const status of ['pending', 'failed'] as const)
    expect(rowsRead(await list(quiet!, status), 'deliveries')).toBe(0)
})
