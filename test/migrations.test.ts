import pg from 'pg'
import { migrate, migrationFiles } from '../src/db/migrate.js'
import { createTestDatabase, type TestDatabase } from './support/database.js'
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
