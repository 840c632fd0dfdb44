import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { DatabaseAddress } from './database.js'
import { noteRestore } from './database-identity.js'

const FOLDER = fileURLToPath(new URL('../../migrations/', import.meta.url))
const LOCK = 7_221_501 // any number, the same in every replica

/**
 * The previous version serves meanwhile. A statement that waits for a table makes everybody queue behind it, and one
 * that waits for longer than PostgreSQL's deadlock_timeout (1 s) may end a request; so it gives up sooner, and again.
 */
const LOCK_TIMEOUT_MS = 500
const PAUSE_MS = 250
const PATIENT_ATTEMPTS = 80
const LOCK_NOT_AVAILABLE = '55P03'
const DEADLOCK = '40P01'

interface Applied {
  name: string
  checksum: string
}

/**
 * Brings the schema up to date, each file in its own transaction, under a lock that makes other replicas wait.
 * Throws when a file that was applied has changed since: edit nothing, add a new file.
 */
export async function migrate(address: DatabaseAddress, log: (line: string) => void = () => {}): Promise<void> {
  const client = new pg.Client({ ...address, database: address.name, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    await client.query(
      `create table if not exists schema_migrations (
         name text primary key, checksum text not null, applied_at timestamptz not null default now())`,
    )
    const { rows } = await client.query<Applied>('select name, checksum from schema_migrations')
    const applied = new Map(rows.map((row) => [row.name, row.checksum]))
    for (const file of await migrationFiles()) await apply(client, file, applied, log)
    if (await noteRestore(client)) log('the database is from a backup: feeds go on from where that was made')
  } finally {
    await client.end()
  }
}

/** The files of this version, in the order they are applied. */
export async function migrationFiles() {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(`${FOLDER}${name}`, 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

async function apply(
  client: pg.Client,
  file: { name: string; sql: string; checksum: string },
  applied: Map<string, string>,
  log: (line: string) => void,
) {
  const known = applied.get(file.name)
  if (known === file.checksum) return
  if (known)
    throw new Error(`migrations/${file.name} was changed after it had been applied; restore it and add a new file.`)
  for (let attempt = 1; ; attempt++) {
    try {
      await run(client, file, attempt)
      log(`applied migrations/${file.name}`)
      return
    } catch (err) {
      if (attempt > PATIENT_ATTEMPTS || !isBusy(err)) throw err
      await pause(PAUSE_MS)
    }
  }
}

const isBusy = (err: unknown) =>
  err instanceof pg.DatabaseError && (err.code === LOCK_NOT_AVAILABLE || err.code === DEADLOCK)

async function run(client: pg.Client, file: { name: string; sql: string; checksum: string }, attempt: number) {
  await client.query('begin')
  try {
    // The last attempt waits: what never finds a gap would never be applied.
    await client.query(`set local lock_timeout = ${attempt > PATIENT_ATTEMPTS ? 0 : LOCK_TIMEOUT_MS}`)
    await client.query(file.sql)
    await client.query('insert into schema_migrations (name, checksum) values ($1, $2)', [file.name, file.checksum])
    await client.query('commit')
  } catch (err) {
    await client.query('rollback')
    throw err
  }
}
