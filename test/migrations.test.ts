import pg from 'pg'
import { migrate, migrationFiles } from '../src/db/migrate.js'
import { createTestDatabase, type TestDatabase } from './support/database.js'
import { differences } from './support/open-deliveries.js'
import { type ConnectedNumber, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

/** The youngest migration of the indexes of `messages`, which the old version below does not have yet. */
const PENDING = '0010_queue_indexes.sql'
const INDEXES = ['messages_scheduled_number_idx', 'messages_incoming_idx']

const waitingFor = (table: string) =>
  `select 1 from pg_locks where relation = '${table}'::regclass and mode = 'ShareLock' and not granted`

describe('replicas that start at once', () => {
  let database: TestDatabase
  beforeEach(async () => {
    database = await createTestDatabase()
    await withClient(database, (client) => client.query('drop schema public cascade; create schema public'))
  })
  afterEach(() => database.drop())

  it('apply each migration once, and the later ones wait until it is done', async () => {
    const applied: string[] = []
    await Promise.all([1, 2, 3].map(() => migrate(database, (line) => applied.push(line))))
    const files = (await migrationFiles()).map(({ name }) => name)
    expect(applied).toEqual(files.map((name) => `applied migrations/${name}`))
    const { rows } = await withClient(database, (client) =>
      client.query<{ name: string }>('select name from schema_migrations order by name'),
    )
    expect(rows.map(({ name }) => name)).toEqual(files)
  })
})

it('takes over what was owed and what had failed before there were tables for them', async () => {
  const database = await createTestDatabase()
  await withClient(database, async (client) => {
    await client.query('drop schema public cascade; create schema public')
    await client.query('create table schema_migrations (name text primary key, checksum text not null)')
    for (const { name, sql, checksum } of await migrationFiles()) {
      if (name >= '0016') break
      await client.query(sql)
      await client.query('insert into schema_migrations values ($1, $2)', [name, checksum])
    }
    await client.query(OWED)
  })
  await migrate(database)
  await withClient(database, async (client) => {
    expect(await differences(client)).toEqual([])
    const { rows } = await client.query(
      'select (select count(*) from pending_deliveries) as pending, (select count(*) from failed_deliveries) as failed',
    )
    expect(rows).toMatchObject([{ pending: 1, failed: 1 }])
  })
  await database.drop()
})

/** One delivery of each status. */
const OWED = `
  with owner as (
    insert into users (email, password_hash, api_key, plan_type, max_phone_numbers, max_messages_per_day, time_zone)
    values ('a@example.com', '-', '-', 'starter', 1, 1, 'UTC') returning id),
  hook as (
    insert into webhooks (user_id, url, secret, event_types) select id, 'http://127.0.0.1:9/', '-', '{*}' from owner returning id),
  told as (
    insert into events (public_id, user_id, position, type, payload)
    select 'evt_' || n, id, n, 'gap', '{}' from owner, generate_series(1, 3) n returning id, position)
  insert into deliveries (event_id, webhook_id, status)
  select told.id, hook.id, ('{pending,failed,delivered}'::text[])[position] from told, hook`

describe('a migration while the old version serves', () => {
  let app: TestApp
  let user: TestUser
  let phone: ConnectedNumber
  let holder: pg.Client
  beforeEach(async () => {
    app = await startTestApp()
    user = await app.createUser()
    phone = await app.connectedNumber(user)
    await app.db.query(`drop index ${INDEXES.join(', ')}`)
    await app.db.query('delete from schema_migrations where name = $1', [PENDING])
    holder = new pg.Client({ ...app.database })
    await holder.connect()
  })
  afterEach(async () => {
    await holder.end()
    await app.stop()
  })

  const send = (text: string) =>
    user.post('/api/messages/send-text?wait=0', { token: phone.token, number: '628123456789', text })
  const present = async () =>
    (await app.db.query(`select from pg_indexes where indexname = any($1)`, [INDEXES])).rowCount
  const isWaiting = async () => ((await app.db.query(waitingFor('messages'))).rowCount ?? 0) > 0

  it('gives way to whoever holds the table, and is applied once it is free', async () => {
    await holder.query('begin')
    await holder.query('lock table messages in row exclusive mode')
    let done = false
    const migration = migrate(app.database).then(() => (done = true))

    // Twice: it waited, gave up, and came again. Sends in between are taken as ever.
    for (const round of [1, 2]) {
      await eventually(isWaiting)
      expect((await send(`while the table is held, ${round}`)).status).toBe(202)
      await eventually(async () => !(await isWaiting()))
    }
    expect([done, await present()]).toEqual([false, 0])

    await holder.query('commit')
    await migration
    expect(await present()).toBe(INDEXES.length)
  })

  it('leaves nothing half done when its process dies, and the next one does it', async () => {
    await holder.query('begin')
    await holder.query('lock table messages in row exclusive mode')
    const migration = migrate(app.database)
    const died = expect(migration).rejects.toThrow(/terminat/i)
    await eventually(isWaiting)
    await app.db.query(
      `select pg_terminate_backend(pid) from pg_locks where relation = 'messages'::regclass and not granted`,
    )
    await died
    await holder.query('commit')
    expect(await present()).toBe(0)

    await migrate(app.database)
    expect(await present()).toBe(INDEXES.length)
    expect((await send('afterwards')).status).toBe(202)
  })
})

async function withClient<T>(database: TestDatabase, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...database })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
