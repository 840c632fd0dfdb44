import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import request from 'supertest'
import { freePorts } from '../../src/embedded/free-ports.js'
import { Database } from '../../src/db/database.js'
import type { TestDatabase } from './database.js'
import { OwnPostgres } from './own-postgres.js'
import { ENGINE_KEY, type TestUser } from './test-app.js'

/** FAULTS=short for every change; the promise's own numbers otherwise. */
export const SHORT = process.env.FAULTS === 'short'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export interface Faulty {
  app: AppProcess
  db: Database
  url: string
  createUser: () => Promise<TestUser>
  /** Ends PostgreSQL as a power cut would; it is started again on the same port by itself. */
  killDatabase: () => void
  stop: () => Promise<void>
}

/** The compiled server as a process of its own, on a PostgreSQL of its own that really syncs: both may be killed. */
export async function startFaulty(env: Record<string, string> = {}): Promise<Faulty> {
  const postgres = await OwnPostgres.start()
  const app = new AppProcess(await freePorts(1), { ...settingsOf(postgres.database), ...env })
  await app.start()
  const db = Database.connect({ ...postgres.database, pool_max: 4 })
  const stop = async () => {
    await app.kill()
    await db.close()
    await postgres.remove()
  }
  const killDatabase = () => postgres.crash('SIGKILL')
  return { app, db, url: app.url, createUser: () => createUser(app.url), killDatabase, stop }
}

function settingsOf(postgres: TestDatabase): Record<string, string> {
  return {
    DB_HOST: postgres.host,
    DB_PORT: String(postgres.port),
    DB_USER: postgres.user,
    DB_PASSWORD: postgres.password,
    DB_NAME: postgres.database,
    EVOLUTION_API_KEY: ENGINE_KEY,
    EVOLUTION_SERVERS: 'sandbox-1=http://127.0.0.1:9',
    JWT_SECRET: 'jwt-key-of-the-test-server-0123456789abcdef',
    WEBHOOK_PRIVATE_TARGETS: 'loopback',
    RATE_LIMIT_PER_MINUTE: '1000000',
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'error',
  }
}

/** One `node dist/main.js`, which can be killed and started again under the same address. */
export class AppProcess {
  private child: ChildProcess | undefined

  constructor(
    private readonly port: number,
    private readonly env: Record<string, string>,
  ) {
    process.on('exit', () => this.child?.kill('SIGKILL'))
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.child!.pid!
  }

  async start(): Promise<void> {
    const env = { PATH: process.env.PATH, ...this.env, PORT: String(this.port), HOST: '127.0.0.1' }
    this.child = spawn(process.execPath, [MAIN], { env, cwd: tmpdir(), stdio: ['ignore', 'ignore', 'inherit'] })
    for (;;) {
      if (this.child.exitCode !== null) {
        // The database may be starting again at this very moment.
        await pause(200)
        return this.start()
      }
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined)
      if (answer?.status === 200) return
      await pause(25)
    }
  }

  /** As a power cut would. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

async function createUser(url: string): Promise<TestUser> {
  const email = `user-${randomBytes(6).toString('hex')}@example.com`
  const password = 'SecurePass123!'
  const body = { email, password, full_name: 'Test User', plan_type: 'enterprise' }
  const { id, api_key } = (await request(url).post('/api/auth/register').send(body)).body.user
  const withKey = (call: request.Test) => call.set('x-api-key', api_key)
  return {
    id,
    email,
    api_key,
    password,
    get: (to: string) => withKey(request(url).get(to)),
    post: (to: string, input?: object) => withKey(request(url).post(to)).send(input),
    patch: (to: string, input?: object) => withKey(request(url).patch(to)).send(input),
    delete: (to: string) => withKey(request(url).delete(to)),
  }
}
