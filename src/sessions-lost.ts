import { readConfig } from './config.js'
import { buildContext, openResources } from './context.js'
import { migrate } from './db/migrate.js'
import { createLogger } from './logger.js'
import { NumberChanges } from './services/number-changes.js'
import { markSessionsLost } from './services/restoration.js'

/** For restore.sh, before the server starts: the database is back, the sessions of the Evolution servers are not. */
async function main(): Promise<void> {
  const config = readConfig(process.env)
  await migrate(config.database)
  const resources = openResources(config, createLogger('warn'))
  try {
    const { db, bus } = buildContext(config, resources)
    const lost = await markSessionsLost(db, new NumberChanges(db, bus))
    process.stdout.write(`${lost} phone numbers must be linked again; their users are told.\n`)
  } finally {
    resources.redis?.close()
    await resources.db.close()
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  },
)
