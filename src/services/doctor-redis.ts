import { Redis } from '../cache/redis.js'
import type { Config } from '../config.js'
import { createLogger } from '../logger.js'
import { type Finding, ok, warning } from './doctor-findings.js'

const PATIENCE_MS = 3_000

/** Never more than a warning: without Redis everything works, replicas only know less of each other. */
export async function examineRedis({ redis }: Config): Promise<Finding> {
  if (!redis.url) return ok('redis', 'REDIS_URL is not set: one process needs no Redis.')
  const { host } = new URL(redis.url)
  const connection = new Redis(redis.url, createLogger('silent'))
  let last = 'no answer'
  connection.commands.on('error', (err: Error) => (last = err.message))
  try {
    const ready = await new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(false), PATIENCE_MS).unref()
      connection.onReady(() => resolve(true))
    })
    if (!ready) return warning('redis', `Redis at ${host} cannot be used (${last}): ${advice(last)}`)
    await connection.commands.ping()
    return ok('redis', `Redis answers at ${host}.`)
  } catch (err) {
    const message = err instanceof Error ? err.message : String(err)
    return warning('redis', `Redis at ${host} cannot be used (${message}): ${advice(message)}`)
  } finally {
    connection.close()
  }
}

function advice(message: string): string {
  if (/WRONGPASS|NOAUTH/i.test(message)) return 'its password is another; restart redis after a change of DB_PASSWORD.'
  return 'the server goes on without it; start it with docker-compose up -d redis.'
}
