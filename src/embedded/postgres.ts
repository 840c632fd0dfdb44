import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { makeDataFolder, serverOwner } from './data-folder.js'
import { lockFolder } from './folder-lock.js'
import { findBinaries } from './postgres-binaries.js'
import { initialise, setPassword } from './postgres-cluster.js'
import { stopOrphan } from './postgres-orphan.js'
import type { Launch, RunningServer } from './postgres-server.js'
import { keepRunning } from './postgres-supervisor.js'
import { keptSecret } from './secrets.js'

export interface PostgresOptions {
  /** Holds the database, its password, its log and the lock; made when missing. */
  data_dir: string
  /** Created when missing. */
  database?: string
  /** Server settings over the defaults, such as `{ fsync: 'off' }`. */
  settings?: Record<string, string>
  /** How long to wait for another process that holds the folder and may be about to end. */
  lock_wait_ms?: number
  log?: (line: string) => void
}

export interface Connection {
  host: string
  port: number
  user: string
  password: string
  database: string
}

export interface Postgres extends Connection {
  close(): Promise<void>
}

const MAJOR = '17'
const USER = 'postgres'

const DEFAULTS: Record<string, string> = {
  shared_buffers: '64MB',
  max_connections: '100',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // A log line must not repeat a recipient or an e-mail out of a failed statement.
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
}

/** A real PostgreSQL 17 of our own on 127.0.0.1, over the data folder. Throws FolderInUseError and readable Errors. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { data_dir, database = 'evolution', log = () => undefined } = options
  makeDataFolder(data_dir)
  const lock = await lockFolder(data_dir, options.lock_wait_ms)
  try {
    const { server, password } = await openCluster(data_dir, database, options.settings ?? {}, log)
    let closing: Promise<void> | undefined
    const close = () => (closing ??= server.close().finally(() => lock.release()))
    return { host: '127.0.0.1', port: server.port, user: USER, password, database, close }
  } catch (error) {
    lock.release()
    throw error
  }
}

async function openCluster(data_dir: string, database: string, settings: Record<string, string>, log: Log) {
  const cluster = path.join(data_dir, 'postgres')
  const owner = serverOwner(cluster)
  const binaries = findBinaries(data_dir, owner)
  const password = keptSecret(data_dir, 'DB_PASSWORD')
  if (await stopOrphan(cluster)) log('Stopped the PostgreSQL that an earlier run had left behind.')
  if (existsSync(cluster)) checkMajor(cluster)
  else {
    log('Creating the database (a second or two, once) …')
    await initialise({ binaries, cluster, owner, password, sync: settings.fsync !== 'off' })
  }
  const start = { binaries, cluster, owner, log_file: path.join(data_dir, 'postgres.log') }
  const server = await open({ ...start, settings: { ...DEFAULTS, ...settings } }, { database, password }, log)
  return { server, password }
}

type Log = (line: string) => void

async function open(start: Launch, { database, password }: { database: string; password: string }, log: Log) {
  let server = await keepRunning(start, log)
  try {
    if ((await ensureDatabase(server, database, password)) === 'wrong password') {
      await server.close()
      await setPassword(start, password)
      server = await keepRunning(start, log)
      await ensureDatabase(server, database, password)
    }
    return server
  } catch (error) {
    await server.close()
    throw error
  }
}

/** Its password may be unknown when secrets.json was deleted; whoever owns the files may set a new one. */
async function ensureDatabase(server: RunningServer, database: string, password: string) {
  const address = { host: '127.0.0.1', port: server.port, user: USER, password }
  try {
    await run({ ...address, database }, () => Promise.resolve())
  } catch (error) {
    const code = (error as pg.DatabaseError).code
    if (code === '28P01') return 'wrong password'
    if (code !== '3D000') throw error
    await run({ ...address, database: 'postgres' }, async (client) => {
      await client.query(`create database ${client.escapeIdentifier(database)} owner ${USER}`)
    })
  }
  return 'ready'
}

async function run(connection: Connection, work: (client: pg.Client) => Promise<void>) {
  const client = new pg.Client(connection)
  client.on('error', () => undefined)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

function checkMajor(cluster: string) {
  const major = readFileSync(path.join(cluster, 'PG_VERSION'), 'utf8').trim()
  if (major !== MAJOR)
    throw new Error(`${cluster} was made by PostgreSQL ${major}, this version runs ${MAJOR}; see docs/operations.md.`)
}
