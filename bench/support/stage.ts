import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import type * as Migrate from '../../src/db/migrate.js'
import type * as DataFolder from '../../src/embedded/data-folder.js'
import type * as FreePorts from '../../src/embedded/free-ports.js'
import type * as Postgres from '../../src/embedded/postgres.js'
import { compiled } from './compiled.js'
import { ROOT, Subject } from './process.js'

export const ENGINE_KEY = 'engine-key-of-the-bench-0123456789abcdef'

export type Stage = Awaited<ReturnType<typeof openStage>>

/** What stands around the servers under test: a real PostgreSQL that waits for the disk, a stub engine, Redis if there is one. */
export async function openStage() {
  const { startPostgres } = await compiled<typeof Postgres>('embedded/postgres.js')
  const { chooseDataFolder } = await compiled<typeof DataFolder>('embedded/data-folder.js')
  const { data_dir } = chooseDataFolder(path.join(tmpdir(), `whatsapp-saas-bench-${randomBytes(4).toString('hex')}`))
  const postgres = await startPostgres({ data_dir, database: 'bench' })
  const engine_url = await startEngine()
  const redis = await startRedis()
  const subjects: Subject[] = []

  const { host, port, user, password, database } = postgres
  const migrate = (await compiled<typeof Migrate>('db/migrate.js')).migrate
  await migrate({ host, port, user, password, name: database })
  const db = new pg.Pool({ host, port, user, password, database, max: 4 })
  db.on('error', () => {}) // PostgreSQL stops before its idle connections do

  const start = async (args: string[], env: Record<string, string>, log_file?: string) => {
    const own = await freePort()
    const launch = { args, env: { ...env, PORT: String(own) }, log_file }
    const subject = await Subject.start({ ...launch, port: own })
    subjects.push(subject)
    return { subject, port: own }
  }

  return {
    db,
    data_dir,
    engine_url,
    redis_url: redis?.url,
    database_url: `postgres://${user}:${password}@${host}:${port}/${database}`,
    /** One of bench/servers. */
    startBaseline: (name: string, env: Record<string, string> = {}) =>
      start(['--import', 'tsx', path.join(ROOT, 'bench/servers', `${name}.ts`)], env),
    /** A baseline that listens to the bench alone. */
    startLoop: async (name: string, env: Record<string, string>) => {
      const args = ['--import', 'tsx', path.join(ROOT, 'bench/servers', `${name}.ts`)]
      const subject = await Subject.start({ args, env })
      subjects.push(subject)
      return subject
    },
    /** The product as it runs in production, but for the pace between two messages and the rate limit. */
    startProduct: (env: Record<string, string> = {}) =>
      start(
        [...nodeFlags(), path.join(ROOT, 'dist/main.js')],
        {
          DB_HOST: host,
          DB_PORT: String(port),
          DB_USER: user,
          DB_PASSWORD: password,
          DB_NAME: database,
          EVOLUTION_API_KEY: ENGINE_KEY,
          EVOLUTION_SERVERS: `bench-1=${engine_url},bench-2=${engine_url}`,
          JWT_SECRET: 'jwt-key-of-the-bench-0123456789abcdef0123',
          WEBHOOK_PRIVATE_TARGETS: 'loopback',
          SEND_GAP_SECONDS: '0',
          SERVER_CONCURRENCY: '64',
          RATE_LIMIT_PER_MINUTE: '1000000',
          ...env,
        },
        path.join(data_dir, 'product.log'),
      ),
    stopAll: async () => {
      await Promise.all(subjects.splice(0).map((subject) => subject.stop()))
    },
    close: async () => {
      await Promise.all(subjects.splice(0).map((subject) => subject.stop()))
      await db.end()
      for (const child of helpers.splice(0)) child.kill('SIGKILL')
      await postgres.close()
      rmSync(data_dir, { recursive: true, force: true })
    },
  }
}

/** Those of the image, and more for the curious: BENCH_NODE="--cpu-prof --cpu-prof-dir=/tmp/profiles" leaves a profile. */
function nodeFlags(): string[] {
  const dockerfile = readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8')
  const [, ...command] = JSON.parse(/^CMD (\["node".*\])$/m.exec(dockerfile)![1]!) as string[]
  return [...command.slice(0, -1), ...(process.env.BENCH_NODE?.split(' ') ?? [])]
}

const helpers: ChildProcess[] = []

async function freePort(): Promise<number> {
  return (await compiled<typeof FreePorts>('embedded/free-ports.js')).freePorts(1)
}

async function startEngine(): Promise<string> {
  const port = await freePort()
  const file = path.join(ROOT, 'bench/servers/engine.ts')
  const env = { ...process.env, PORT: String(port) }
  helpers.push(
    spawn(process.execPath, ['--import', 'tsx', file], { env, cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] }),
  )
  const url = `http://127.0.0.1:${port}`
  await retry(() => fetch(url))
  return url
}

async function startRedis(): Promise<{ url: string } | undefined> {
  if (spawnSync('redis-server', ['--version']).status !== 0) return undefined
  const port = await freePort()
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  helpers.push(spawn('redis-server', settings, { stdio: 'ignore' }))
  return { url: `redis://127.0.0.1:${port}` }
}

async function retry(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work()
      return
    } catch (err) {
      if (attempt === 100) throw err
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
