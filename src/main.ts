import { performance } from 'node:perf_hooks'
import { ConfigError, readConfig } from './config.js'
import { banner } from './embedded/banner.js'
import { embeddedEnvironment, type Embedded } from './embedded/environment.js'
import { FolderInUseError } from './embedded/folder-lock.js'
import { Lifecycle } from './embedded/lifecycle.js'

const say = (line: string) => process.stdout.write(`${line}\n`)
const complain = (line: string) => process.stderr.write(`${line}\n`)

const lifecycle = new Lifecycle(say)

/** The rest of the program, read while PostgreSQL starts. */
const serverModule = import('./server.js')
serverModule.catch(() => undefined)

async function start() {
  loadDotEnv()
  const embedded = await embeddedEnvironment(process.env, say)
  lifecycle.onClose(() => embedded.close())
  const config = readConfig(embedded.env)
  for (const warning of config.warnings) complain(`Warning: ${warning}`)
  for (const note of embedded.notes) say(note)
  if (lifecycle.isStopping) return
  const { startServer } = await serverModule
  const server = await startServer(config).catch(async (error: unknown) => {
    const { explainKnown } = await import('./services/doctor-database.js')
    const message = explainHost(error, config.http.host) ?? explainKnown(error, config)
    throw message ? new Error(message, { cause: error }) : error
  })
  lifecycle.onClose(() => server.close())
  if (!lifecycle.isStopping) announce(server.url, embedded)
}

function announce(url: string, { sandbox, data_dir }: Embedded) {
  const prepared = performance.getEntriesByName('prepared')[0]?.startTime ?? 0
  const seconds = ((performance.now() - prepared) / 1000).toFixed(1)
  const first = !process.env.RELOADED
  if (sandbox && data_dir && first) say(banner({ url, seconds, data_dir }))
  else say(`WhatsApp SaaS API answers at ${url} after ${seconds} s${data_dir ? `; data: ${data_dir}` : ''}.`)
}

function loadDotEnv() {
  try {
    process.loadEnvFile('.env')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function explainHost(error: unknown, host: string): string | undefined {
  const { code, syscall, hostname } = error as NodeJS.ErrnoException & { hostname?: string }
  const isOurs = code === 'EADDRNOTAVAIL' || (syscall === 'getaddrinfo' && hostname === host)
  return isOurs ? `HOST is ${host}, which is no address of this machine; 0.0.0.0 listens at all it has.` : undefined
}

function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof FolderInUseError) return error.message
  const { code, message, stack } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') {
    const port = Number(process.env.PORT) || 3000
    return `Port ${port} is taken; stop what uses it or start with PORT=${port + 1} npm start`
  }
  return process.env.LOG_LEVEL === 'debug' ? (stack ?? message) : message
}

function crash(error: unknown) {
  complain((error as Error)?.stack ?? String(error))
  void lifecycle.stop(1)
}

// Whoever read our output may go away (npm start | head); that is no reason to stop serving.
for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined)
process.on('uncaughtException', crash)
process.on('unhandledRejection', crash)
lifecycle.handleSignals()
lifecycle
  .start(start)
  .catch((error: unknown) => {
    complain(explain(error))
    return lifecycle.stop(1)
  })
  .catch(crash)
