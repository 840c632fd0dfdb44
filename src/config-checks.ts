import type { Settings } from './settings.js'

const HOW_TO = 'make one with: openssl rand -hex 32'

interface Findings {
  problems: string[]
  warnings: string[]
}

/** What the schema cannot say: how settings go together, and whether strangers could use what is set. */
export function checkSettings(settings: Settings): Findings {
  const loopback = isLoopback(settings.HOST)
  const { problems, warnings } = checkSecrets(settings, loopback)
  problems.push(...checkEngine(settings))
  if (!loopback && settings.REGISTRATION === 'open' && settings.SELF_SERVICE_PLANS.some((plan) => plan !== 'starter'))
    warnings.push('Anybody may register with a paid plan: set SELF_SERVICE_PLANS=starter or REGISTRATION=closed.')
  if (loopback && settings.SERVER_URL && leadsElsewhere(settings.SERVER_URL, settings.PORT)) {
    const { SERVER_URL, PORT } = settings
    warnings.push(`SERVER_URL is ${SERVER_URL}, but this server listens at port ${PORT}: its link pages lead nowhere.`)
  }
  return { problems, warnings }
}

/** A secret that strangers can guess is refused where strangers can reach us, and only warned about on loopback. */
function checkSecrets(settings: Settings, loopback: boolean) {
  const problems: string[] = []
  const warnings: string[] = []
  const secrets = { DB_PASSWORD: 8, EVOLUTION_API_KEY: 20, JWT_SECRET: 32 }
  for (const [name, length] of Object.entries(secrets)) {
    const fault = faultOf(settings[name as keyof typeof secrets], length)
    if (!fault) continue
    if (loopback && (fault !== 'is missing' || name === 'DB_PASSWORD')) warnings.push(`${name} ${fault}; ${HOW_TO}`)
    else problems.push(`${name} ${fault}; ${HOW_TO}`)
  }
  const admin = settings.ADMIN_API_KEY === undefined ? undefined : faultOf(settings.ADMIN_API_KEY, 20)
  if (admin) (loopback ? warnings : problems).push(`ADMIN_API_KEY ${admin}; ${HOW_TO}`)
  if (!settings.SERVER_URL && !loopback)
    problems.push('SERVER_URL is missing; set it to the address your users call, such as https://api.example.com')
  return { problems, warnings }
}

function faultOf(secret: string | undefined, length: number): string | undefined {
  if (!secret) return 'is missing'
  if (/your|example|change.?me|password.?here|^postgres$|^secret$/i.test(secret))
    return 'is an example that everybody knows'
  if (secret.length < length) return `is shorter than ${length} characters`
  return undefined
}

function checkEngine(settings: Settings): string[] {
  const problems: string[] = []
  if (settings.DB_HOST && !settings.EVOLUTION_SERVERS && !settings.EVOLUTION_API_KEY)
    problems.push('EVOLUTION_SERVERS is missing; list your Evolution servers, or set SANDBOX=true to try without any')
  const names = settings.EVOLUTION_SERVERS?.map((server) => server.name) ?? []
  if (new Set(names).size < names.length) problems.push('EVOLUTION_SERVERS names one server twice')
  return problems
}

/** To another port of this machine, where no proxy can be meant by it. */
function leadsElsewhere(url: string, port: number): boolean {
  const { protocol, hostname, port: named } = new URL(url)
  return protocol === 'http:' && isLoopback(hostname) && Number(named || 80) !== port
}

/** These mean something else inside an address, and docker-compose.yml puts the password into two. */
export const breaksAddresses = (password = '') => /[/?#%]/.test(password)
export const BREAKS_ADDRESSES =
  'has one of / ? # %, which mean something else inside an address, and the Evolution servers get it in one; use ' +
  'letters and digits: openssl rand -hex 32'

/** A Redis address that holds the password of the database comes from docker-compose.yml. */
export function checkAddresses({ DB_PASSWORD = '', REDIS_URL = '' }: Record<string, string | undefined>): string[] {
  return breaksAddresses(DB_PASSWORD) && REDIS_URL.includes(DB_PASSWORD) ? [`DB_PASSWORD ${BREAKS_ADDRESSES}`] : []
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}
