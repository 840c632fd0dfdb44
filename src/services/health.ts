import type { Redis } from '../cache/redis.js'
import type { Database } from '../db/database.js'
import * as servers from '../db/servers.js'

export interface HealthReport {
  status: 'ok' | 'unavailable'
  reason?: string
  checks: { database: string; redis: string; servers: string }
  uptime_seconds: number
}

/** How long the database may think about a trivial question. */
const PATIENCE_MS = 2_000

/** What a load balancer needs to know. Only the database decides: without Redis or an engine, requests are still right. */
export class HealthService {
  private closing = false

  constructor(
    private readonly db: Database,
    private readonly redis: Redis | undefined,
  ) {}

  async check(): Promise<HealthReport> {
    const list = await withPatience(servers.list(this.db))
    const healthy = list?.filter((server) => server.healthy !== false && server.listed).length
    const reason = this.closing ? 'This process is stopping.' : list ? undefined : 'The database does not answer.'
    return {
      status: reason ? 'unavailable' : 'ok',
      ...(reason ? { reason } : {}),
      checks: {
        database: list ? 'ok' : 'unavailable',
        redis: !this.redis ? 'not used' : this.redis.ready ? 'ok' : 'unavailable',
        servers: list ? `${healthy} of ${list.filter((server) => server.listed).length} healthy` : 'unknown',
      },
      uptime_seconds: Math.round(process.uptime()),
    }
  }

  /** From now on load balancers are told to look elsewhere. */
  startClosing(): void {
    this.closing = true
  }
}

async function withPatience<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), PATIENCE_MS)
  })
  try {
    return await Promise.race([work, late])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}
