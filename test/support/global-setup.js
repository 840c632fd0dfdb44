import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const PREFIX = 'whatsapp-saas-test-'

const SETTINGS = { fsync: 'off', full_page_writes: 'off', max_connections: '300' }

/** One PostgreSQL for the whole run, with a migrated database that each test file clones. */
export default async function globalSetup() {
  const { startPostgres } = await compiled('embedded/postgres.js')
  const { chooseDataFolder } = await compiled('embedded/data-folder.js')
  const { lockHolder } = await compiled('embedded/folder-lock.js')
  removeLeftovers(lockHolder)
  const { data_dir } = chooseDataFolder(path.join(tmpdir(), PREFIX + randomBytes(6).toString('hex')))
  const template = 'template_migrated'
  const postgres = await startPostgres({ data_dir, database: template, settings: SETTINGS })
  globalThis.testPostgres = { close: () => postgres.close(), data_dir }
  try {
    const { migrate } = await compiled('db/migrate.js')
    const { host, port, user, password } = postgres
    await migrate({ host, port, user, password, name: template })
  } catch (error) {
    // Jest does not call the teardown when the setup fails.
    await postgres.close()
    throw error
  }
  process.env.TEST_DB_HOST = postgres.host
  process.env.TEST_DB_PORT = String(postgres.port)
  process.env.TEST_DB_USER = postgres.user
  process.env.TEST_DB_PASSWORD = postgres.password
  process.env.TEST_DB_TEMPLATE = template
}

/** The compiled server, since tests start child processes from it as well. */
async function compiled(file) {
  try {
    return await import(new URL(`../../dist/${file}`, import.meta.url).href)
  } catch (error) {
    throw new Error(`dist/${file} is not built; run the tests with: npm test`, { cause: error })
  }
}

/** A run that was killed leaves its folder; its PostgreSQL has stopped by itself. A new folder may not be locked yet. */
function removeLeftovers(lockHolder) {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const folder = path.join(tmpdir(), name)
    try {
      const old = statSync(folder).mtimeMs < Date.now() - 60_000
      if (old && lockHolder(folder) === undefined) rmSync(folder, { recursive: true, force: true })
    } catch {
      // Another user's run.
    }
  }
}
