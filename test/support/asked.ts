import { AsyncLocalStorage } from 'node:async_hooks'
import pg from 'pg'

/** Everything that is asked of the database while `work` runs, with its values; or only what `work` itself asks. */
export async function asked(
  work: () => Promise<void>,
  { of }: { of: 'all' | 'work' },
): Promise<Map<string, unknown[]>> {
  const seen = new Map<string, unknown[]>()
  const atWork = new AsyncLocalStorage<boolean>()
  const client = pg.Client.prototype as { query: (this: pg.Client, ...args: unknown[]) => unknown }
  const original = client.query
  client.query = function (first, second, ...rest) {
    const { text, values } = typeof first === 'string' ? { text: first, values: second } : (first as pg.QueryConfig)
    const counts = of === 'all' || atWork.getStore()
    if (counts && /^\s*(select|insert|update|delete|with)\b/i.test(text) && !seen.has(text))
      seen.set(text, Array.isArray(values) ? values : [])
    return original.call(this, first, second, ...rest)
  }
  try {
    await atWork.run(true, work)
  } finally {
    client.query = original
  }
  return seen
}
