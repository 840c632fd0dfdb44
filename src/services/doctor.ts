import { statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { type Config, ConfigError, readConfig } from '../config.js'
import { BREAKS_ADDRESSES, breaksAddresses } from '../config-checks.js'
import { planOf } from '../embedded/plan.js'
import { examineDatabase } from './doctor-database.js'
import { examineEngines } from './doctor-engines.js'
import { type Finding, ok, problem, sentence, warning } from './doctor-findings.js'
import { examineRedis } from './doctor-redis.js'

type Environment = Record<string, string | undefined>

const GIGABYTE = 1024 ** 3

/** Looks at everything this server needs, changes nothing, and goes on after a problem. */
export async function examine(env: Environment): Promise<Finding[]> {
  const { config, findings } = examineSettings(env)
  if (!config) return findings
  const port = await examinePort(config)
  findings.push(port, await examineDisk())
  if (!env.DB_HOST?.trim()) {
    findings.push(
      ok('database', 'DB_HOST is not set: the server brings a PostgreSQL of its own, which only it can ask.'),
    )
    return findings
  }
  const database = await examineDatabase(config)
  findings.push(...database.findings, await examineRedis(config))
  findings.push(...(await examineEngines(config, database.pool, database.last_events, port.status === 'ok')))
  return findings
}

function examineSettings(env: Environment): { config?: Config; findings: Finding[] } {
  try {
    const config = readConfig(withOwnSecrets(env))
    const findings = config.warnings.map((text) => warning('settings', sentence(text)))
    if (breaksAddresses(config.database.password))
      findings.push(problem('settings', sentence(`DB_PASSWORD ${BREAKS_ADDRESSES}`)))
    if (findings.length === 0) findings.push(ok('settings', 'All settings are usable.'))
    return { config, findings }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { findings: error.problems.map((text) => problem('settings', sentence(text))) }
  }
}

const OWN_SECRET = 'made-by-the-server-itself-0123456789'

/** What the server starts by itself has secrets that it makes, too. */
function withOwnSecrets(env: Environment): Environment {
  const { database, sandbox } = planOf(env)
  if (!database && !sandbox) return env
  const made: Environment = { ...env, JWT_SECRET: env.JWT_SECRET?.trim() || OWN_SECRET }
  if (database) made.DB_PASSWORD = OWN_SECRET
  if (sandbox) made.EVOLUTION_API_KEY = env.EVOLUTION_API_KEY?.trim() || OWN_SECRET
  return made
}

/** Either the server answers there, or nobody does. */
async function examinePort({ http }: Config): Promise<Finding> {
  const url = `http://127.0.0.1:${http.port}/livez`
  const answer = await fetch(url, { signal: AbortSignal.timeout(3_000) }).then(
    async (response) => ({ status: response.status, text: await response.text() }),
    () => undefined,
  )
  if (answer?.status === 200 && answer.text.includes('"status"'))
    return ok('port', `The server answers at port ${http.port}.`)
  if (answer || !(await isFree(http.port, http.host)))
    return problem(
      'port',
      `Port ${http.port} is used by another program: stop that one, or set PORT to another number.`,
    )
  return warning(
    'port',
    `The server does not run here: nothing answers at port ${http.port}. Start it, then ask again.`,
  )
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, host, () => probe.close(() => resolve(true)))
  })
}

async function examineDisk(): Promise<Finding> {
  const { bavail, blocks, bsize } = await statfs('.')
  const free = bavail * bsize
  const text = `${(free / GIGABYTE).toFixed(1)} GB of this disk are free`
  if (free < GIGABYTE / 2)
    return problem('disk', `Only ${text}: delete something (docker system prune, old backups) before PostgreSQL stops.`)
  if (free < Math.min(2 * GIGABYTE, (blocks * bsize) / 10))
    return warning('disk', `Only ${text}: make room soon (docker system prune, old backups, shorter EVENT_DAYS).`)
  return ok('disk', `${text}.`)
}
