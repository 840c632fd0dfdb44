import path from 'node:path'
import { isLoopback } from '../config-checks.js'
import { chooseDataFolder, makeDataFolder } from './data-folder.js'
import { lockFolder } from './folder-lock.js'
import { type Plan, planOf } from './plan.js'
import { startPostgres, type Postgres } from './postgres.js'
import { startSandbox, type Sandbox } from './sandbox-process.js'
import { keptSecret } from './secrets.js'

export type Environment = Record<string, string | undefined>

export interface Embedded {
  /** What was given, completed with the addresses and secrets of what runs here. */
  env: Environment
  /** Sentences about choices made here, for whoever started us. */
  notes: string[]
  /** Where the embedded parts keep everything; absent when nothing is embedded. */
  data_dir?: string
  sandbox: boolean
  close(): Promise<void>
}

/** How long an earlier run may take to close before it counts as running. */
const LOCK_WAIT_MS = 3_000

type Log = (line: string) => void

/** Starts what the environment does not name, and makes its secrets. Whatever is set stays as it is. */
export async function embeddedEnvironment(given: Environment, log: Log): Promise<Embedded> {
  const plan = planOf(given)
  if (!plan.database && !plan.sandbox) return { env: given, notes: [], sandbox: false, close: () => Promise.resolve() }
  const { data_dir, note } = chooseDataFolder(given.DATA_DIR)
  const notes = note ? [note] : []
  const closers: (() => Promise<void>)[] = []
  const close = () => closeAll(closers)
  try {
    const env = { ...given, DATA_DIR: data_dir, JWT_SECRET: '', ADMIN_API_KEY: '' }
    await startParts(plan, { given, env, data_dir, log, notes, closers })
    env.JWT_SECRET = given.JWT_SECRET?.trim() || keptSecret(data_dir, 'JWT_SECRET')
    env.ADMIN_API_KEY = given.ADMIN_API_KEY?.trim() || keptSecret(data_dir, 'ADMIN_API_KEY')
    return { env, notes, data_dir, sandbox: plan.sandbox, close }
  } catch (error) {
    await close()
    throw error
  }
}

interface Work {
  given: Environment
  env: Environment
  data_dir: string
  log: Log
  notes: string[]
  closers: (() => Promise<void>)[]
}

async function startParts(plan: Plan, work: Work) {
  const { given, env, data_dir, log, closers } = work
  if (!plan.database) {
    makeDataFolder(data_dir)
    const lock = await lockFolder(data_dir, LOCK_WAIT_MS)
    closers.push(() => Promise.resolve(lock.release()))
    Object.assign(env, await sandboxSettings(work))
    return
  }
  const database = given.DB_NAME?.trim() || 'evolution'
  const postgres = await startPostgres({ data_dir, database, lock_wait_ms: LOCK_WAIT_MS, log })
  closers.push(() => postgres.close())
  Object.assign(env, databaseSettings(postgres))
  const ignored = ['DB_PORT', 'DB_USER', 'DB_PASSWORD'].filter((name) => given[name]?.trim())
  if (ignored.length > 0) work.notes.push(`DB_HOST is not set, so ${ignored.join(', ')} count for nothing.`)
  if (plan.sandbox) Object.assign(env, await sandboxSettings(work))
}

function databaseSettings({ host, port, user, password, database }: Postgres): Environment {
  return { DB_HOST: host, DB_PORT: String(port), DB_USER: user, DB_PASSWORD: password, DB_NAME: database }
}

/**
 * The sandbox, and what makes it useful on one machine: webhooks to localhost, and the sample media we serve.
 * Where strangers can reach us, they must not make us call this machine's own services.
 */
async function sandboxSettings({ given, data_dir, log, notes, closers }: Work): Promise<Environment> {
  const api_key = given.EVOLUTION_API_KEY?.trim() || keptSecret(data_dir, 'EVOLUTION_API_KEY')
  const port = given.PORT?.trim() || '3000'
  const settings: Environment = {
    SANDBOX: 'true',
    EVOLUTION_API_KEY: api_key,
    MEDIA_PRIVATE_TARGETS:
      given.MEDIA_PRIVATE_TARGETS?.trim() || `localhost:${port}/samples/,127.0.0.1:${port}/samples/`,
    WEBHOOK_PRIVATE_TARGETS:
      given.WEBHOOK_PRIVATE_TARGETS?.trim() || (isLoopback(given.HOST?.trim() || '127.0.0.1') ? 'loopback' : ''),
  }
  if (given.EVOLUTION_SERVERS?.trim()) {
    notes.push('EVOLUTION_SERVERS is set, so no sandbox server was started here.')
    return settings
  }
  const sandbox: Sandbox = await startSandbox({ api_key, data_dir: path.join(data_dir, 'sandbox'), log })
  closers.push(() => sandbox.close())
  settings.EVOLUTION_SERVERS = sandbox.servers.map(({ name, url }) => `${name}=${url}`).join(',')
  return settings
}

async function closeAll(closers: (() => Promise<void>)[]) {
  for (const close of closers.splice(0).reverse()) await close()
}
