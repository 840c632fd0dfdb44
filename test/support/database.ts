import { randomBytes } from 'node:crypto'
import pg from 'pg'

export type TestDatabase = Awaited<ReturnType<typeof createTestDatabase>>

/** A database of this test file's own, cloned from the migrated template; `name` and `database` are the same. */
export async function createTestDatabase() {
  const server = {
    host: process.env.TEST_DB_HOST!,
    port: Number(process.env.TEST_DB_PORT),
    user: process.env.TEST_DB_USER!,
    password: process.env.TEST_DB_PASSWORD!,
  }
  const name = `test_${randomBytes(6).toString('hex')}`
  await administer(server, async (admin) => {
    // Two workers that clone at once could meet the template in use.
    await admin.query('select pg_advisory_lock(1)')
    await admin.query(`create database ${name} template ${process.env.TEST_DB_TEMPLATE}`)
  })
  const drop = () =>
    administer(server, async (admin) => {
      await admin.query(`drop database if exists ${name} with (force)`)
    })
  return { ...server, database: name, name, drop }
}

async function administer(server: pg.ClientConfig, work: (admin: pg.Client) => Promise<void>) {
  const admin = new pg.Client({ ...server, database: 'postgres' })
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}
