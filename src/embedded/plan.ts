/** What the environment does not name, and so runs here. */
export interface Plan {
  database: boolean
  sandbox: boolean
}

/** PostgreSQL without DB_HOST; the sandbox with SANDBOX=true, or when neither a database nor an engine is named. */
export function planOf(given: Record<string, string | undefined>): Plan {
  const isSet = (name: string) => Boolean(given[name]?.trim())
  const database = !isSet('DB_HOST')
  const nothingNamed = database && !isSet('EVOLUTION_SERVERS') && !isSet('EVOLUTION_API_KEY')
  const asked = isSet('SANDBOX') ? /^(true|1|yes|on|y|enabled)$/i.test(given.SANDBOX!.trim()) : undefined
  return { database, sandbox: asked ?? nothingNamed }
}
