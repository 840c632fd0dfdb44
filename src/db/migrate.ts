import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { DatabaseAddress } from './database.js'

const FOLDER = fileURLToPath(new URL('../../migrations/', import.meta.url))
const LOCK = 7_221_501 // any number, the same in every replica

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
  } finally {
    await client.end()
  }
}

async function migrationFiles() {
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
  await client.query('begin')
  try {
    await client.query(file.sql)
    await client.query('insert into schema_migrations (name, checksum) values ($1, $2)', [file.name, file.checksum])
    await client.query('commit')
    log(`applied migrations/${file.name}`)
  } catch (err) {
    await client.query('rollback')
    throw err
  }
}
