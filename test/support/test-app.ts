import { setTimeout as pause } from 'node:timers/promises'
import request from 'supertest'
import { freePorts } from '../../src/embedded/free-ports.js'
import { readConfig } from '../../src/config.js'
import { createLogger } from '../../src/logger.js'
import { startSandbox, SandboxDatabase, type Sandbox, type SandboxOptions } from '../../src/sandbox/server.js'
import { type RunningServer, startServer } from '../../src/server.js'
import { INGRESS_HEADER, ingressSecret } from '../../src/services/instances.js'
import { createTestDatabase, type TestDatabase } from './database.js'

export const ENGINE_KEY = 'engine-key-of-the-test-pool-0123456789'
export const JWT_SECRET = 'jwt-key-of-the-test-server-0123456789abcdef'

export interface TestAppOptions {
  env?: Record<string, string>
  servers?: number
  sandbox?: Partial<SandboxOptions>
  /** Instead of a fresh one cloned from the template. */
  database?: TestDatabase
}

export type TestApp = Awaited<ReturnType<typeof startTestApp>>

/** A whole server on its own database, in front of real sandbox engines, spoken to over real sockets. */
export async function startTestApp(options: TestAppOptions = {}) {
  const database = options.database ?? (await createTestDatabase())
  const engines = SandboxDatabase.open()
  const sandboxes = await startSandboxes(options, engines)
  const server = await startReplica(database, sandboxes, options.env)
  const api = request(server.url)
  const replicas = [server]

  const app = {
    database,
    sandboxes,
    server,
    url: server.url,
    ctx: server.context,
    crew: server.crew,
    db: server.context.db,
    api,
    /** Another process of the same product on the same database, as far as that can be had within one. */
    startReplica: async (env: Record<string, string> = {}) => {
      const replica = await startReplica(database, sandboxes, { ...options.env, ...env })
      replicas.push(replica)
      return replica
    },
    createUser: (fields: Record<string, unknown> = {}) => createUser(api, fields),
    /** How many wait for a lock, in this database alone: others test at the same time. */
    lockWaiters: async (): Promise<number> => {
      const { rowCount } = await server.context.db.query(
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      )
      return rowCount!
    },
    /** The same calls with the key of `user`, answered by a replica. */
    as: (user: TestUser, replica: { url: string }) => callsOf(request(replica.url), user.api_key),
    /** Calls with another key than the one of the registration. */
    withKey: (api_key: string) => callsOf(api, api_key),
    /** What an engine posts, byte by byte, with the secret of the instance unless another is given. */
    engineSays: (
      engineName: string,
      body: string | object,
      secret = ingressSecret(ENGINE_KEY, engineName),
      byEvent?: string,
    ) =>
      api
        .post(`/internal/evolution/${encodeURIComponent(engineName)}${byEvent ? `/${byEvent}` : ''}`)
        .set('content-type', 'application/json')
        .set(secret === '' ? {} : { [INGRESS_HEADER]: secret })
        .send(typeof body === 'string' ? body : JSON.stringify(body)),
    sandboxOf: (engineName: string) => sandboxOf(sandboxes, engineName),
    /** One more engine on the database of the others, or one that was closed, on the port it had. */
    startSandbox: async (name: string, port?: number) => {
      const started = await startSandbox({ ...sandboxDefaults(options, engines), name, port })
      const old = sandboxes.findIndex((sandbox) => sandbox.name === name)
      if (old < 0) sandboxes.push(started)
      else sandboxes[old] = started
      return started
    },
    /** A number that has been scanned and is connected. */
    connectedNumber: async (user: TestUser, fields: Record<string, unknown> = {}) => {
      const created = await user.post('/api/phone-numbers/create', { display_name: 'Support', ...fields })
      if (created.status !== 201) throw new Error(`create answered ${created.status}: ${created.text}`)
      const phone = created.body.phone_number as TestNumber
      const engine_name = `${phone.instance_name}_g1`
      const { controls } = sandboxOf(sandboxes, engine_name)
      controls.scan(engine_name)
      const status = async () => (await user.get(`/api/phone-numbers/${phone.id}/status`)).body.phone_number.status
      await eventually(async () => (await status()) === 'connected')
      return { ...phone, engine_name, controls }
    },
    stop: async () => {
      await Promise.all(replicas.map((replica) => replica.close()))
      await Promise.all(sandboxes.map((sandbox) => sandbox.close()))
      await database.drop()
    },
  }
  return app
}

export interface TestNumber {
  id: number
  token: string
  instance_name: string
  engine_name: string
  webhook_secret?: string
}

export type ConnectedNumber = Awaited<ReturnType<TestApp['connectedNumber']>>

function startSandboxes(options: TestAppOptions, engines: SandboxDatabase): Promise<Sandbox[]> {
  const names = Array.from({ length: options.servers ?? 2 }, (_, i) => `sandbox-${i + 1}`)
  return Promise.all(names.map((name) => startSandbox({ ...sandboxDefaults(options, engines), name })))
}

const sandboxDefaults = ({ sandbox }: TestAppOptions, database: SandboxDatabase) => ({
  api_key: ENGINE_KEY,
  connect_wait_ms: 20,
  ack_delay_ms: 20,
  database,
  webhook_retry: { attempts: 60, initial_delay_ms: 50, max_delay_ms: 500 },
  ...sandbox,
})

export async function startReplica(
  database: TestDatabase,
  sandboxes: Sandbox[],
  env: Record<string, string> = {},
): Promise<RunningServer> {
  const config = readConfig({ ...(await environmentOf(database, sandboxes)), ...env })
  return startServer(config, createLogger(config.log.level))
}

/** The settings of a server on this database and these engines, on a port that was free a moment ago. */
export async function environmentOf(database: TestDatabase, sandboxes: Sandbox[]): Promise<Record<string, string>> {
  return {
    HOST: '127.0.0.1',
    PORT: String(await freePorts(1)),
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
    DB_HOST: database.host,
    DB_PORT: String(database.port),
    DB_USER: database.user,
    DB_PASSWORD: database.password,
    DB_NAME: database.name,
    EVOLUTION_API_KEY: ENGINE_KEY,
    EVOLUTION_SERVERS: sandboxes.map(({ name, url }) => `${name}=${url}`).join(','),
    JWT_SECRET,
    WEBHOOK_PRIVATE_TARGETS: 'loopback',
    MEDIA_PRIVATE_TARGETS: 'loopback',
    SEND_GAP_SECONDS: '0',
    RATE_LIMIT_PER_MINUTE: '1000000',
    RATE_LIMIT_AUTH_PER_MINUTE: '1000000',
  }
}

function sandboxOf(sandboxes: Sandbox[], engineName: string): Sandbox {
  const owner = sandboxes.find(({ controls }) => controls.instances().some(({ name }) => name === engineName))
  if (!owner) throw new Error(`no sandbox has ${engineName}`)
  return owner
}

export type TestUser = Awaited<ReturnType<typeof createUser>>

let users = 0

async function createUser(api: ReturnType<typeof request>, fields: Record<string, unknown> = {}) {
  // Ends alike for all, so that a search for somebody else's address never meets it by chance.
  const email = `user${++users}-${process.pid}-${Math.random().toString(36).slice(2)}-test@example.com`
  const registered = await api
    .post('/api/auth/register')
    .send({ email, password: 'SecurePass123!', full_name: 'Test User', plan_type: 'business', ...fields })
  if (registered.status !== 201) throw new Error(`register answered ${registered.status}: ${registered.text}`)
  const { id, api_key } = registered.body.user as { id: number; api_key: string }
  return { id, email, api_key, password: 'SecurePass123!', ...callsOf(api, api_key) }
}

function callsOf(api: ReturnType<typeof request>, api_key: string) {
  const withKey = (call: request.Test) => call.set('x-api-key', api_key)
  return {
    get: (path: string) => withKey(api.get(path)),
    post: (path: string, body?: object) => withKey(api.post(path)).send(body),
    patch: (path: string, body?: object) => withKey(api.patch(path)).send(body),
    delete: (path: string) => withKey(api.delete(path)),
  }
}

/** Looks again until it is true, for what happens by itself; fails with the last error after ten seconds. */
export async function eventually(check: () => unknown, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  for (;;) {
    try {
      if ((await check()) !== false) return
      throw new Error('it did not become true')
    } catch (err) {
      if (Date.now() > end) throw err
    }
    await pause(15)
  }
}
