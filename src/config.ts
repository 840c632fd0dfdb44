import { z } from 'zod'
import { isTimeZone } from './services/days.js'
import { isCountry } from './services/recipients.js'
import './zod-words.js'

const PLAN_TYPES = ['starter', 'business', 'enterprise'] as const

const list = (text: string) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

const whole = (min: number, max: number) => z.coerce.number().int().min(min).max(max)
const httpUrl = z.url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' })

/** `name=http://host:port` or a bare URL, which is then named after its host. */
const EngineServer = z.string().transform((entry, ctx) => {
  const named = /^([A-Za-z0-9][A-Za-z0-9._-]{0,62})=(.+)$/.exec(entry)
  const url = URL.parse(named?.[2] ?? entry)
  if (!url || !/^https?:$/.test(url.protocol)) {
    ctx.addIssue(`"${entry}" is not a URL; write http://host:port or name=http://host:port, separated by commas`)
    return z.NEVER
  }
  const host = url.port === '' || url.port === '8080' ? url.hostname : `${url.hostname}:${url.port}`
  return { name: named?.[1] ?? host, url: url.href.replace(/\/+$/, '') }
})

/** Every setting, in the order of .env.example; a test keeps the two equal. */
const Environment = z.object({
  DB_PASSWORD: z.string().optional(),
  EVOLUTION_API_KEY: z.string().optional(),
  JWT_SECRET: z.string().optional(),
  SERVER_URL: httpUrl.optional(),

  HOST: z.string().default('127.0.0.1'),
  PORT: whole(0, 65_535).default(3000),
  ROLE: z.enum(['all', 'api', 'worker']).default('all'),
  TRUST_PROXY: whole(0, 10).default(0),
  MAX_ACTIVE_REQUESTS: whole(10, 100_000).default(1000),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),

  DB_HOST: z.string().optional(),
  DB_PORT: whole(1, 65_535).default(5432),
  DB_USER: z.string().default('postgres'),
  DB_NAME: z.string().default('evolution'),
  DB_POOL_MAX: whole(2, 200).default(12),
  REDIS_URL: z
    .url({
      protocol: /^rediss?$/,
      error: 'must be a URL that begins with redis:// or rediss://; a password in it has only letters and digits',
    })
    .optional(),

  EVOLUTION_SERVERS: z.string().transform(list).pipe(z.array(EngineServer).min(1)).optional(),
  INGRESS_URL: httpUrl.optional(),
  INGRESS_ALLOW_CIDR: z
    .string()
    .transform(list)
    .pipe(z.array(z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], 'must be networks such as 10.8.0.0/24')))
    .default([]),
  ENGINE_SEND_TIMEOUT_SECONDS: whole(5, 600).default(75),
  ENGINE_CONTROL_TIMEOUT_SECONDS: whole(1, 300).default(30),
  SERVER_MEMORY_MB: whole(315, 1_000_000).default(2048),
  UNLINKED_INSTANCE_MINUTES: whole(0, 100_000).default(60),
  SERVER_CONCURRENCY: whole(1, 64).default(6),
  SANDBOX: z.stringbool().default(false),
  DATA_DIR: z.string().optional(),

  ADMIN_API_KEY: z.string().optional(),
  OPERATOR_ALERT_URL: httpUrl.optional(),
  ALERT_AGE_MINUTES: whole(1, 10_000).default(15),
  EXPIRY_WARNING_DAYS: whole(0, 90).default(7),
  EXPIRY_GRACE_DAYS: whole(0, 90).default(3),
  BRAND_NAME: z.string().trim().max(60).default('WhatsApp SaaS API'),
  REGISTRATION: z.enum(['open', 'closed']).default('open'),
  SELF_SERVICE_PLANS: z
    .string()
    .transform(list)
    .pipe(z.array(z.enum(PLAN_TYPES)).min(1))
    .default([...PLAN_TYPES]),
  DEFAULT_COUNTRY: z
    .string()
    .refine(isCountry, 'must be the two capital letters of a country, such as ID')
    .default('ID'),
  DEFAULT_TIME_ZONE: z
    .string()
    .refine(isTimeZone, 'must be a time zone of the IANA list, such as Asia/Jakarta')
    .default('Asia/Jakarta'),

  SEND_GAP_SECONDS: z.coerce.number().min(0).max(3600).default(1),
  MESSAGE_TTL_SECONDS: whole(10, 7 * 86_400).default(86_400),
  CONTACT_CHECKS_PER_HOUR: whole(0, 10_000).default(60),
  MEDIA_MAX_MB: whole(1, 64).default(16),
  MEDIA_PRIVATE_TARGETS: z.string().transform(list).default([]),
  WEBHOOK_PRIVATE_TARGETS: z.string().transform(list).default([]),

  RATE_LIMIT_PER_MINUTE: whole(1, 1_000_000).default(1200),
  RATE_LIMIT_AUTH_PER_MINUTE: whole(1, 1_000_000).default(60),
  REQUEST_LOG_DAYS: whole(1, 3650).default(30),
  EVENT_DAYS: whole(1, 3650).default(30),
  WEBHOOK_LOG_DAYS: whole(1, 3650).default(30),
  MESSAGE_BODY_DAYS: whole(0, 3650).default(90),
  MESSAGE_DAYS: whole(0, 3650).default(0),
  MEDIA_DAYS: whole(1, 3650).default(7),
  EVOLUTION_MESSAGE_DAYS: whole(0, 3650).default(0),
})

export const environmentKeys = Object.keys(Environment.shape)

type Env = z.output<typeof Environment>

/** Raised with every mistake of the environment in one text that says what to do. */
export class ConfigError extends Error {
  override name = 'ConfigError'

  constructor(readonly problems: string[]) {
    super(
      `The settings are not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\nEach setting is explained in .env.example.`,
    )
  }
}

export type Config = ReturnType<typeof readConfig>
export type EngineServerConfig = z.output<typeof EngineServer>

/** Reads the environment once, at the edge of the process; empty values count as absent. Throws ConfigError. */
export function readConfig(environment: Record<string, string | undefined>) {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()))
  const broken = checkAddresses(given)
  const result = Environment.safeParse(broken.length > 0 ? { ...given, REDIS_URL: undefined } : given)
  if (!result.success) throw new ConfigError([...broken, ...result.error.issues.map(asProblem)])
  const env = result.data
  const loopback = isLoopback(env.HOST)
  const { problems, warnings } = checkSecrets(env, loopback)
  problems.push(...broken, ...checkEngine(env))
  if (problems.length > 0) throw new ConfigError(problems)
  if (!loopback && env.REGISTRATION === 'open' && env.SELF_SERVICE_PLANS.some((plan) => plan !== 'starter')) {
    warnings.push('Anybody may register with a paid plan: set SELF_SERVICE_PLANS=starter or REGISTRATION=closed.')
  }
  if (loopback && env.SERVER_URL && leadsElsewhere(env.SERVER_URL, env.PORT)) {
    warnings.push(
      `SERVER_URL is ${env.SERVER_URL}, but this server listens at port ${env.PORT}: its link pages lead nowhere.`,
    )
  }
  return { ...shape(env), warnings }
}

/** To another port of this machine, where no proxy can be meant by it. */
function leadsElsewhere(url: string, port: number): boolean {
  const { protocol, hostname, port: named } = new URL(url)
  return protocol === 'http:' && isLoopback(hostname) && Number(named || 80) !== port
}

function shape(env: Env) {
  const own = `http://localhost:${env.PORT}`
  return {
    role: env.ROLE,
    http: {
      host: env.HOST,
      port: env.PORT,
      trust_proxy: env.TRUST_PROXY,
      max_active_requests: env.MAX_ACTIVE_REQUESTS,
      public_url: (env.SERVER_URL ?? own).replace(/\/+$/, ''),
    },
    log: { level: env.LOG_LEVEL },
    database: {
      host: env.DB_HOST ?? 'localhost',
      port: env.DB_PORT,
      user: env.DB_USER,
      password: env.DB_PASSWORD ?? '',
      name: env.DB_NAME,
      pool_max: env.DB_POOL_MAX,
    },
    redis: { url: env.REDIS_URL },
    engine: {
      api_key: env.EVOLUTION_API_KEY ?? '',
      servers: env.EVOLUTION_SERVERS ?? defaultServers(),
      ingress_url: (env.INGRESS_URL ?? `http://127.0.0.1:${env.PORT}`).replace(/\/+$/, ''),
      ingress_allow_cidr: env.INGRESS_ALLOW_CIDR,
      send_timeout_seconds: env.ENGINE_SEND_TIMEOUT_SECONDS,
      control_timeout_seconds: env.ENGINE_CONTROL_TIMEOUT_SECONDS,
      server_concurrency: env.SERVER_CONCURRENCY,
      server_memory_mb: env.SERVER_MEMORY_MB,
      unlinked_minutes: env.UNLINKED_INSTANCE_MINUTES,
    },
    sandbox: env.SANDBOX,
    brand_name: env.BRAND_NAME,
    admin: { api_key: env.ADMIN_API_KEY },
    alerts: { url: env.OPERATOR_ALERT_URL, age_minutes: env.ALERT_AGE_MINUTES, data_dir: env.DATA_DIR ?? '.' },
    expiry: { warning_days: env.EXPIRY_WARNING_DAYS, grace_days: env.EXPIRY_GRACE_DAYS },
    auth: { jwt_secret: env.JWT_SECRET ?? '' },
    users: {
      registration: env.REGISTRATION,
      self_service_plans: env.SELF_SERVICE_PLANS as readonly string[],
      default_time_zone: env.DEFAULT_TIME_ZONE,
      default_country: env.DEFAULT_COUNTRY,
    },
    messages: { gap_seconds: env.SEND_GAP_SECONDS, ttl_seconds: env.MESSAGE_TTL_SECONDS },
    contacts: { checks_per_hour: env.CONTACT_CHECKS_PER_HOUR },
    media: { max_bytes: env.MEDIA_MAX_MB * 1024 * 1024, private_targets: env.MEDIA_PRIVATE_TARGETS },
    webhooks: { private_targets: env.WEBHOOK_PRIVATE_TARGETS },
    rate_limits: { per_minute: env.RATE_LIMIT_PER_MINUTE, auth_per_minute: env.RATE_LIMIT_AUTH_PER_MINUTE },
    retention: {
      request_log_days: env.REQUEST_LOG_DAYS,
      event_days: env.EVENT_DAYS,
      webhook_log_days: env.WEBHOOK_LOG_DAYS,
      message_body_days: env.MESSAGE_BODY_DAYS,
      message_days: env.MESSAGE_DAYS,
      media_days: env.MEDIA_DAYS,
      evolution_message_days: env.EVOLUTION_MESSAGE_DAYS,
    },
  }
}

/** The pair of the specification's docker-compose.yml. */
function defaultServers(): EngineServerConfig[] {
  return [1, 2].map((n) => ({ name: `evolution-api-${n}`, url: `http://evolution-api-${n}:8080` }))
}

const HOW_TO = 'make one with: openssl rand -hex 32'

/** A secret that strangers can guess is refused where strangers can reach us, and only warned about on loopback. */
function checkSecrets(env: Env, loopback: boolean) {
  const problems: string[] = []
  const warnings: string[] = []
  const secrets = { DB_PASSWORD: 8, EVOLUTION_API_KEY: 20, JWT_SECRET: 32 }
  for (const [name, length] of Object.entries(secrets)) {
    const fault = faultOf(env[name as keyof typeof secrets], length)
    if (!fault) continue
    if (loopback && (fault !== 'is missing' || name === 'DB_PASSWORD')) warnings.push(`${name} ${fault}; ${HOW_TO}`)
    else problems.push(`${name} ${fault}; ${HOW_TO}`)
  }
  const admin = env.ADMIN_API_KEY === undefined ? undefined : faultOf(env.ADMIN_API_KEY, 20)
  if (admin) (loopback ? warnings : problems).push(`ADMIN_API_KEY ${admin}; ${HOW_TO}`)
  if (!env.SERVER_URL && !loopback)
    problems.push('SERVER_URL is missing; set it to the address your users call, such as https://api.example.com')
  return { problems, warnings }
}

/** These mean something else inside an address, and docker-compose.yml puts the password into two. */
export const breaksAddresses = (password = '') => /[/?#%]/.test(password)
export const BREAKS_ADDRESSES =
  'has one of / ? # %, which mean something else inside an address, and the Evolution servers get it in one; use ' +
  'letters and digits: openssl rand -hex 32'

/** A Redis address that holds the password of the database comes from docker-compose.yml. */
function checkAddresses({ DB_PASSWORD = '', REDIS_URL = '' }: Record<string, string | undefined>): string[] {
  return breaksAddresses(DB_PASSWORD) && REDIS_URL.includes(DB_PASSWORD) ? [`DB_PASSWORD ${BREAKS_ADDRESSES}`] : []
}

function faultOf(secret: string | undefined, length: number): string | undefined {
  if (!secret) return 'is missing'
  if (/your|example|change.?me|password.?here|^postgres$|^secret$/i.test(secret))
    return 'is an example that everybody knows'
  if (secret.length < length) return `is shorter than ${length} characters`
  return undefined
}

function checkEngine(env: Env): string[] {
  const problems: string[] = []
  if (env.DB_HOST && !env.EVOLUTION_SERVERS && !env.EVOLUTION_API_KEY)
    problems.push('EVOLUTION_SERVERS is missing; list your Evolution servers, or set SANDBOX=true to try without any')
  const names = env.EVOLUTION_SERVERS?.map((server) => server.name) ?? []
  if (new Set(names).size < names.length) problems.push('EVOLUTION_SERVERS names one server twice')
  return problems
}

function asProblem(issue: z.core.$ZodIssue): string {
  return `${issue.path.join('.')}: ${issue.message}`
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}
