import type { z } from 'zod'
import { checkAddresses, checkSettings } from './config-checks.js'
import { type EngineServerConfig, Settings } from './settings.js'

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

/** Reads the environment once, at the edge of the process; empty values count as absent. Throws ConfigError. */
export function readConfig(environment: Record<string, string | undefined>) {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()))
  const broken = checkAddresses(given)
  const result = Settings.safeParse(broken.length > 0 ? { ...given, REDIS_URL: undefined } : given)
  if (!result.success) throw new ConfigError([...broken, ...result.error.issues.map(asProblem)])
  const settings = result.data
  const { problems, warnings } = checkSettings(settings)
  if (broken.length + problems.length > 0) throw new ConfigError([...problems, ...broken])
  return { ...shape(settings), warnings }
}

function shape(settings: Settings) {
  const own = `http://localhost:${settings.PORT}`
  return {
    role: settings.ROLE,
    http: {
      host: settings.HOST,
      port: settings.PORT,
      trust_proxy: settings.TRUST_PROXY,
      max_active_requests: settings.MAX_ACTIVE_REQUESTS,
      public_url: (settings.SERVER_URL ?? own).replace(/\/+$/, ''),
    },
    log: { level: settings.LOG_LEVEL },
    database: {
      host: settings.DB_HOST ?? 'localhost',
      port: settings.DB_PORT,
      user: settings.DB_USER,
      password: settings.DB_PASSWORD ?? '',
      name: settings.DB_NAME,
      pool_max: settings.DB_POOL_MAX,
    },
    redis: { url: settings.REDIS_URL },
    engine: {
      api_key: settings.EVOLUTION_API_KEY ?? '',
      servers: settings.EVOLUTION_SERVERS ?? defaultServers(),
      ingress_url: (settings.INGRESS_URL ?? `http://127.0.0.1:${settings.PORT}`).replace(/\/+$/, ''),
      ingress_allow_cidr: settings.INGRESS_ALLOW_CIDR,
      send_timeout_seconds: settings.ENGINE_SEND_TIMEOUT_SECONDS,
      control_timeout_seconds: settings.ENGINE_CONTROL_TIMEOUT_SECONDS,
      server_concurrency: settings.SERVER_CONCURRENCY,
      server_memory_mb: settings.SERVER_MEMORY_MB,
      unlinked_minutes: settings.UNLINKED_INSTANCE_MINUTES,
    },
    sandbox: settings.SANDBOX,
    brand_name: settings.BRAND_NAME,
    admin: { api_key: settings.ADMIN_API_KEY },
    alerts: {
      url: settings.OPERATOR_ALERT_URL,
      age_minutes: settings.ALERT_AGE_MINUTES,
      data_dir: settings.DATA_DIR ?? '.',
    },
    expiry: { warning_days: settings.EXPIRY_WARNING_DAYS, grace_days: settings.EXPIRY_GRACE_DAYS },
    auth: { jwt_secret: settings.JWT_SECRET ?? '' },
    users: {
      registration: settings.REGISTRATION,
      self_service_plans: settings.SELF_SERVICE_PLANS as readonly string[],
      default_time_zone: settings.DEFAULT_TIME_ZONE,
      default_country: settings.DEFAULT_COUNTRY,
    },
    messages: { gap_seconds: settings.SEND_GAP_SECONDS, ttl_seconds: settings.MESSAGE_TTL_SECONDS },
    contacts: { checks_per_hour: settings.CONTACT_CHECKS_PER_HOUR },
    media: { max_bytes: settings.MEDIA_MAX_MB * 1024 * 1024, private_targets: settings.MEDIA_PRIVATE_TARGETS },
    webhooks: { private_targets: settings.WEBHOOK_PRIVATE_TARGETS },
    rate_limits: { per_minute: settings.RATE_LIMIT_PER_MINUTE, auth_per_minute: settings.RATE_LIMIT_AUTH_PER_MINUTE },
    retention: {
      request_log_days: settings.REQUEST_LOG_DAYS,
      event_days: settings.EVENT_DAYS,
      webhook_log_days: settings.WEBHOOK_LOG_DAYS,
      message_body_days: settings.MESSAGE_BODY_DAYS,
      message_days: settings.MESSAGE_DAYS,
      media_days: settings.MEDIA_DAYS,
      evolution_message_days: settings.EVOLUTION_MESSAGE_DAYS,
    },
  }
}

/** The pair of the specification's docker-compose.yml. */
function defaultServers(): EngineServerConfig[] {
  return [1, 2].map((n) => ({ name: `evolution-api-${n}`, url: `http://evolution-api-${n}:8080` }))
}

function asProblem(issue: z.core.$ZodIssue): string {
  return `${issue.path.join('.')}: ${issue.message}`
}
