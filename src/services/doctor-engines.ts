import { EngineUnreachable } from '../clients/engine-http.js'
import { EvolutionClient } from '../clients/evolution.js'
import type { Config } from '../config.js'
import { type Finding, ok, problem, warning } from './doctor-findings.js'
import { type Identity, diagnose, identify } from './server-diagnosis.js'

/** The versions this product is made for; 2.4 wants a licence to be activated by hand. */
const MADE_FOR = /^v?2\.3\./

interface Examined {
  name: string
  finding: Finding
  identity?: Identity
}

/** Each Evolution server, whether two pretend to be one, and whether they can reach us. */
export async function examineEngines(
  config: Config,
  pool: { name: string; url: string }[],
  lastEvents: Map<string, Date | null>,
  running: boolean,
): Promise<Finding[]> {
  // What the operator has added while it runs stands in the database alone, and what is new in the settings there not yet.
  const known = new Map([...config.engine.servers, ...pool].map((server) => [server.name, server]))
  const examined = await Promise.all([...known.values()].map((server) => examineEngine(server, config)))
  return [
    ...examined.map(({ finding }) => finding),
    ...findTwins(examined),
    await examineIngress(config, running),
    ...reports(config, lastEvents),
  ]
}

async function examineEngine(server: { name: string; url: string }, { engine }: Config): Promise<Examined> {
  const { name, url } = server
  const check = `engine ${name}`
  const client = new EvolutionClient(name, url, engine)
  try {
    const fault = await diagnose(client)
    if (fault) return { name, finding: problem(check, `${url} ${fault.message}. ${ADVICE[fault.code]}`) }
    const identity = await identify(client)
    return { name, identity, finding: describe(check, url, identity) }
  } catch (err) {
    if (err instanceof EngineUnreachable)
      return {
        name,
        finding: warning(check, `${url} answers, but does not say which version it is: has it no internet?`),
      }
    throw err
  } finally {
    await client.close()
  }
}

const ADVICE = {
  unreachable: 'Look whether it runs (docker-compose ps) and at its log; its numbers wait meanwhile.',
  licence_needed: 'Its numbers wait meanwhile.',
  key_refused: 'Write the same key into .env, and docker-compose up -d.',
  database_down: 'Look at its log: it cannot use PostgreSQL (wrong password, schema evolution_api missing).',
  not_evolution: 'Look whether EVOLUTION_SERVERS names the right address.',
} as const

function describe(check: string, url: string, identity: Identity | undefined): Finding {
  if (!identity) return warning(check, `${url} takes our key, but does not greet like Evolution API. Is it one?`)
  const { version, licence } = identity
  if (version && !MADE_FOR.test(version))
    return warning(check, `${url} is version ${version}; this product is made for 2.3.7. Use that image.`)
  if (licence !== 'not_needed' && licence !== 'active')
    return warning(check, `${url} says its licence is ${licence}: activate it in its manager, or use version 2.3.7.`)
  return ok(check, `${url} answers, takes our key and reaches its database (version ${version ?? 'unknown'}).`)
}

/** Two servers of one client name open the same sessions, and throw each other out for ever. */
function findTwins(examined: Examined[]): Finding[] {
  const seen = new Map<string, string>()
  const findings: Finding[] = []
  for (const { name, identity } of examined) {
    if (!identity?.client_name) continue
    const other = seen.get(identity.client_name)
    if (other)
      findings.push(
        problem(
          `engine ${name}`,
          `It has the client name of ${other} (${identity.client_name}): give each its own DATABASE_CONNECTION_CLIENT_NAME and CACHE_REDIS_PREFIX_KEY.`,
        ),
      )
    seen.set(identity.client_name, name)
  }
  return findings
}

/** The engines cannot be asked to call us; what can be proved is that the address leads here from where we are. */
async function examineIngress({ engine }: Config, running: boolean): Promise<Finding> {
  const url = engine.ingress_url
  try {
    const response = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(5_000) })
    if (response.ok)
      return ok(
        'ingress',
        `INGRESS_URL ${url} leads to this server, seen from here. An event that came in proves the rest.`,
      )
    return problem(
      'ingress',
      `INGRESS_URL ${url} answers ${response.status}: it must be this server as the engines see it.`,
    )
  } catch {
    if (!running) return warning('ingress', `INGRESS_URL ${url} can only be tried while the server runs.`)
    return problem(
      'ingress',
      `INGRESS_URL ${url} leads nowhere, seen from here: set it to this server as the engines see it, or no QR code and no message comes in.`,
    )
  }
}

function reports({ engine }: Config, lastEvents: Map<string, Date | null>): Finding[] {
  return engine.servers.flatMap(({ name }) => {
    const at = lastEvents.get(name)
    if (at) return [ok(`events ${name}`, `Its last event came in at ${at.toISOString()}.`)]
    if (!lastEvents.has(name)) return []
    return [
      warning(
        `events ${name}`,
        'It has phone numbers, but no event ever came in from it: check INGRESS_URL and its log.',
      ),
    ]
  })
}
