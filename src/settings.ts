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
export const Settings = z.object({
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

export const settingNames = Object.keys(Settings.shape)

export type Settings = z.output<typeof Settings>
export type EngineServerConfig = z.output<typeof EngineServer>
