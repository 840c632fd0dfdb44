import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildApp } from './app.js'
import { type Config, ConfigError } from './config.js'
import { type Context, type Resources, buildContext, openResources } from './context.js'
import type { Database } from './db/database.js'
import { migrate } from './db/migrate.js'
import * as servers from './db/servers.js'
import * as users from './db/users.js'
import { createHttpServer } from './http-server.js'
import { createLogger, flushLog } from './logger.js'
import { type Crew, buildCrew } from './workers/crew.js'

export interface RunningServer {
  url: string
  port: number
  context: Context
  crew: Crew
  close(): Promise<void>
}

/** One process, from its configuration to its last line: config → database → context → app and workers → listen. */
export async function startServer(config: Config, log = createLogger(config.log.level)): Promise<RunningServer> {
  await migrate(config.database, (line) => log.info(line))
  const resources = openResources(config, log)
  try {
    return await start(config, resources)
  } catch (err) {
    await closeResources(resources)
    throw err
  }
}

async function start(config: Config, resources: Resources): Promise<RunningServer> {
  const context = buildContext(config, resources)
  await checkTimeZone(resources.db, config)
  await servers.seed(resources.db, config.engine.servers)
  for (const { name, url } of await servers.list(resources.db)) resources.pool.set(name, url)
  await context.membership.join()

  const crew = buildCrew(context)
  const http = createHttpServer(buildApp(context), context.load)
  const port = await listen(http, config)
  for (const worker of crew.always) worker.start()
  if (config.role !== 'api') {
    for (const worker of crew.workers) worker.start()
    crew.delivery.start()
  }
  let closing: Promise<void> | undefined
  const close = () => (closing ??= closeAll(http, context, crew, resources))
  return { url: `http://${config.http.host}:${port}`, port, context, crew, close }
}

/** Each user who registers gets it, and one that PostgreSQL does not know would make the reports of all fail. */
async function checkTimeZone(db: Database, { users: { default_time_zone } }: Config): Promise<void> {
  if (!(await users.knowsTimeZone(db, default_time_zone)))
    throw new ConfigError([
      `DEFAULT_TIME_ZONE: PostgreSQL does not know ${default_time_zone}; write one such as Asia/Jakarta`,
    ])
}

function listen(http: Server, config: Config): Promise<number> {
  return new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen(config.http.port, config.http.host, () => resolve((http.address() as AddressInfo).port))
  })
}

/** Stops in the order that loses nothing: no new requests, held ones answered, sends settled, then the connections. */
async function closeAll(http: Server, ctx: Context, crew: Crew, resources: Resources): Promise<void> {
  ctx.health.startClosing()
  const served = new Promise<void>((resolve) => http.close(() => resolve()))
  http.closeIdleConnections()
  ctx.waitingRoom.close()
  ctx.feedWatch.close()
  try {
    await Promise.all([ctx.lanes.stop(), crew.delivery.stop(), ...crew.workers.map((worker) => worker.stop())])
  } finally {
    await answerOut(http, served)
    http.closeAllConnections()
    await served
    await Promise.all(crew.always.map((worker) => worker.stop()))
    await ctx.membership
      .leave()
      .catch((err: unknown) => ctx.log.warn({ err }, 'could not sign off; the others will notice'))
    await ctx.requestLog.flush()
    await ctx.keyUsage.flush()
    await closeResources(resources)
    await flushLog(ctx.log)
  }
}

const ANSWERS_MS = 1_000

/** Who was sent home above still reads the database for the answer; what is idle after it is closed. */
async function answerOut(http: Server, served: Promise<void>): Promise<void> {
  const sweep = setInterval(() => http.closeIdleConnections(), 20)
  let limit: NodeJS.Timeout | undefined
  await Promise.race([served, new Promise((resolve) => (limit = setTimeout(resolve, ANSWERS_MS)))])
  clearInterval(sweep)
  clearTimeout(limit)
}

async function closeResources({ db, redis, pool, media, webhookHttp }: Resources): Promise<void> {
  redis?.close()
  await Promise.allSettled([pool.close(), media.close(), webhookHttp.close()])
  await db.close()
}
