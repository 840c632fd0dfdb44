import type { Config } from '../config.js'
import { Database } from '../db/database.js'
import * as diagnosis from '../db/diagnosis.js'
import * as ingress from '../db/ingress.js'
import { migrationFiles } from '../db/migrate.js'
import * as servers from '../db/servers.js'
import { COUNTED, unprocessed } from './alerts.js'
import { type Finding, ok, problem, sentence, warning } from './doctor-findings.js'

const OLDEST = 17
const SKEW_SECONDS = 5

export interface DatabaseExam {
  findings: Finding[]
  /** The servers that are in use, as far as they can be known. */
  pool: { name: string; url: string }[]
  /** When each server last told us something; empty when the database cannot be asked. */
  last_events: Map<string, Date | null>
}

export async function examineDatabase(config: Config): Promise<DatabaseExam> {
  const db = Database.connect({ ...config.database, pool_max: 2 })
  try {
    const before = Date.now()
    const facts = await diagnosis.facts(db)
    const findings = [describe(facts, config), ...examineClock(facts, (before + Date.now()) / 2)]
    const applied = await diagnosis.appliedMigrations(db)
    findings.push(await examineMigrations(applied), ...(await tryToWrite(db, facts)))
    if (!applied) return { findings, pool: [], last_events: new Map<string, null>() }
    const { n, reason } = await ingress.countUnprocessed(db, 24, COUNTED)
    if (n > 0) findings.push(warning('events', unprocessed(n, reason!)))
    const pool = (await servers.list(db)).filter(({ state }) => state !== 'disabled')
    return { findings, pool, last_events: await diagnosis.lastEvents(db) }
  } catch (err) {
    return {
      findings: [problem('database', explainDatabase(err, config))],
      pool: [],
      last_events: new Map<string, null>(),
    }
  } finally {
    await db.close()
  }
}

function describe(facts: diagnosis.DatabaseFacts, { database }: Config): Finding {
  const { version, size_bytes, max_connections, connections } = facts
  if (Number.parseInt(version) < OLDEST)
    return problem('database', `PostgreSQL ${version} is too old: use ${OLDEST}, as docker-compose.yml does.`)
  if (connections + database.pool_max > max_connections)
    return warning(
      'database',
      `${connections} of ${max_connections} connections are taken: lower DB_POOL_MAX, or raise max_connections.`,
    )
  const megabytes = (size_bytes / 1024 ** 2).toFixed(0)
  return ok(
    'database',
    `PostgreSQL ${version} answers; ${database.name} has ${megabytes} MB, ${connections} of ${max_connections} connections are in use.`,
  )
}

function examineClock({ now }: diagnosis.DatabaseFacts, ours: number): Finding[] {
  const seconds = Math.round(Math.abs(now.getTime() - ours) / 1000)
  if (seconds <= SKEW_SECONDS) return []
  return [
    warning('clock', `The clocks of this server and of PostgreSQL differ by ${seconds} s: switch on NTP on both.`),
  ]
}

async function examineMigrations(applied: { name: string; checksum: string }[] | undefined): Promise<Finding> {
  if (!applied) return problem('migrations', 'The database is empty: start the server once, which makes its tables.')
  const known = new Map(applied.map(({ name, checksum }) => [name, checksum]))
  const files = await migrationFiles()
  const missing = files.filter(({ name }) => !known.has(name))
  if (missing.length > 0)
    return problem('migrations', `${missing.length} migrations are missing: restart the server, which applies them.`)
  const changed = files.find(({ name, checksum }) => known.get(name) !== checksum)
  if (changed) return problem('migrations', `migrations/${changed.name} is not the file that was applied: restore it.`)
  const newer = applied.length - files.length
  if (newer > 0)
    return warning(
      'migrations',
      `The database has ${newer} migrations more than this version: go back to the newer one.`,
    )
  return ok('migrations', `All ${files.length} migrations are applied.`)
}

async function tryToWrite(db: Database, facts: diagnosis.DatabaseFacts): Promise<Finding[]> {
  if (facts.read_only)
    return [problem('database', 'PostgreSQL takes no writes (a replica?): point DB_HOST at the primary.')]
  try {
    await db.transaction((tx) => diagnosis.tryToWrite(tx))
    return []
  } catch (err) {
    return [problem('database', explainWrite(err))]
  }
}

function explainWrite(err: unknown): string {
  if (codeOf(err) === '53100') return 'The disk of PostgreSQL is full: make room, then restart postgres.'
  return sentence(`PostgreSQL refuses to write: ${messageOf(err)}; see its log`)
}

function explainDatabase(err: unknown, config: Config): string {
  const { host, port } = config.database
  const unknown = `PostgreSQL at ${host}:${port} cannot be used: ${messageOf(err)}; see its log`
  return explainKnown(err, config) ?? sentence(unknown)
}

/** Why the database cannot be used, and what to do about it; undefined when it is something else. */
export function explainKnown(err: unknown, { database }: Pick<Config, 'database'>): string | undefined {
  const { host, port, user, name } = database
  switch (codeOf(err)) {
    case 'ECONNREFUSED':
    case 'EHOSTUNREACH':
    case 'ETIMEDOUT':
      return `PostgreSQL does not answer at ${host}:${port}: see its log, start it (docker-compose up -d postgres), or set DB_HOST and DB_PORT.`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `There is no host "${host}": see the log of PostgreSQL, start it (docker-compose up -d postgres), or set DB_HOST.`
    case '28P01':
    case '28000':
      return (
        `PostgreSQL refuses the password of "${user}": it keeps the DB_PASSWORD of its first start. Put that one back ` +
        `into .env, or change it there too: alter user ${user} password '…'. While nothing is in it yet, docker-compose down -v starts afresh.`
      )
    case '3D000':
      return `There is no database "${name}": create it (createdb ${name}), or set DB_NAME.`
    case '53300':
      return 'PostgreSQL has no connection left: lower DB_POOL_MAX, or raise max_connections.'
    case '53100':
      return 'The disk of PostgreSQL is full: make room, then restart postgres.'
    case '57P03':
      return 'PostgreSQL is still starting: ask again in some seconds.'
    default:
      return undefined
  }
}

const codeOf = (err: unknown) => (err as { code?: string } | null)?.code ?? ''
const messageOf = (err: unknown) => (err as { message?: string } | null)?.message ?? String(err)
