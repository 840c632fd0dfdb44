import type { SandboxDatabase } from './store/database.js'

/** Evolution's webhook retries; the defaults are the environment recommended for this product. */
export interface WebhookRetry {
  attempts: number
  initial_delay_ms: number
  max_delay_ms: number
  jitter: number
  no_retry_statuses: number[]
  timeout_ms: number
}

export interface SandboxOptions {
  /** Also its DATABASE_CONNECTION_CLIENT_NAME: instances belong to the server of this name. */
  name: string
  /** The global key. */
  api_key: string
  host?: string
  /** 0 = any free port. */
  port?: number
  /** Where everything is kept and re-read at start; none = memory only. Ignored when `database` is given. */
  data_dir?: string
  /** Shared by two sandboxes of one process, as two Evolution servers share one PostgreSQL. */
  database?: SandboxDatabase
  /** Scans its own QR code this long after showing the first one; null = only on request. */
  scan_after_seconds?: number | null
  /** How long the delivered report takes; the read report takes twice as long. */
  ack_delay_ms?: number
  /** How long the recipient that "answers after the time-out" keeps the caller waiting. */
  hang_seconds?: number
  /** How long the slow recipient takes. */
  slow_ms?: number
  /** How long a question that WhatsApp never answers is waited for (60 s in Baileys). */
  query_timeout_ms?: number
  /** How long media that WhatsApp no longer has is tried for (5 s in Evolution). */
  media_retry_ms?: number
  qr_rotate_seconds?: number
  qr_limit?: number
  /** The fixed wait inside connect (2 s in Evolution); create with qrcode:true waits 2.5 times as long. */
  connect_wait_ms?: number
  webhook_retry?: Partial<WebhookRetry>
}

export type SandboxSettings = Required<Omit<SandboxOptions, 'data_dir' | 'database' | 'webhook_retry'>> & {
  webhook_retry: WebhookRetry
}

const WEBHOOK_RETRY: WebhookRetry = {
  attempts: 60,
  initial_delay_ms: 5_000,
  max_delay_ms: 300_000,
  jitter: 0.2,
  no_retry_statuses: [410],
  timeout_ms: 10_000,
}

/** Fills in what was not given. */
export function settingsFrom(options: SandboxOptions): SandboxSettings {
  return {
    name: options.name,
    api_key: options.api_key,
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    scan_after_seconds: options.scan_after_seconds ?? null,
    ack_delay_ms: options.ack_delay_ms ?? 200,
    hang_seconds: options.hang_seconds ?? 90,
    slow_ms: options.slow_ms ?? 3_000,
    query_timeout_ms: options.query_timeout_ms ?? 60_000,
    media_retry_ms: options.media_retry_ms ?? 5_000,
    qr_rotate_seconds: options.qr_rotate_seconds ?? 45,
    qr_limit: options.qr_limit ?? 10,
    connect_wait_ms: options.connect_wait_ms ?? 2_000,
    webhook_retry: { ...WEBHOOK_RETRY, ...options.webhook_retry },
  }
}
