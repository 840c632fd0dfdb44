import type * as AccessTokensModule from '../../src/services/access-tokens.js'
import type * as ApiKeys from '../../src/services/api-keys.js'
import type * as AuthenticatorModule from '../../src/services/authenticator.js'
import type * as BusModule from '../../src/cache/bus.js'
import type * as DatabaseModule from '../../src/db/database.js'
import type * as KeyUsageModule from '../../src/services/key-usage.js'
import type * as LoggerModule from '../../src/logger.js'
import { compiled } from '../support/compiled.js'
import { type Row, median } from '../support/figures.js'
import type { Stage } from '../support/stage.js'

const KEYS = 2_000
const ROUNDS = 9
const CHECKS = 100_000
const ALLOWED_US = 5

/** What it costs to know who is calling: from memory, and from the database. In this process, without HTTP. */
export async function key(stage: Stage): Promise<Row[]> {
  const { Database } = await compiled<typeof DatabaseModule>('db/database.js')
  const { hostname, port, username, password, pathname } = new URL(stage.database_url)
  const at = { host: hostname, port: Number(port), user: username, password, name: pathname.slice(1) }
  const db = Database.connect({ ...at, pool_max: 2 })
  try {
    const authenticator = await openAuthenticator(db)
    const keys = await seedKeys(stage)
    const asked = countQueries(db)
    const first = await timed(keys.length, (n) => authenticator.authenticate({ api_key: keys[n]! }))
    const queries = asked() / keys.length
    const again: number[] = []
    for (let round = 0; round < ROUNDS; round++)
      again.push(await timed(CHECKS, (n) => authenticator.authenticate({ api_key: keys[n % keys.length]! })))
    const cached = median(again)
    return [
      {
        what: 'a key that is cached, CPU',
        measured: us(cached),
        bar: `< ${ALLOWED_US} µs`,
        reached: cached < ALLOWED_US,
      },
      { what: 'a key that is not, CPU of this process', measured: us(first), bar: '' },
      { what: 'queries for a key that is not', measured: queries.toFixed(2), bar: '1', reached: queries === 1 },
    ]
  } finally {
    await db.close()
  }
}

async function openAuthenticator(db: DatabaseModule.Database) {
  const { Authenticator } = await compiled<typeof AuthenticatorModule>('services/authenticator.js')
  const { AccessTokens } = await compiled<typeof AccessTokensModule>('services/access-tokens.js')
  const { KeyUsage } = await compiled<typeof KeyUsageModule>('services/key-usage.js')
  const { Bus } = await compiled<typeof BusModule>('cache/bus.js')
  const { createLogger } = await compiled<typeof LoggerModule>('logger.js')
  const usage = new KeyUsage(db, createLogger('silent'))
  return new Authenticator(db, new AccessTokens('of no use here'), usage, new Bus(undefined))
}

async function seedKeys({ db }: Stage): Promise<string[]> {
  const { newApiKey } = await compiled<typeof ApiKeys>('services/api-keys.js')
  const made = Array.from({ length: KEYS }, newApiKey)
  await db.query(
    `with owner as (
       insert into users (email, password_hash, api_key, plan_type, max_phone_numbers, max_messages_per_day, time_zone)
       values ('keys@bench.example', '-', 'wsk_…', 'enterprise', 1000, 1000000, 'Asia/Jakarta') returning id)
     insert into api_keys (user_id, name, key_hash, hint) select id, 'bench', hash, 'wsk_…' from owner, unnest($1::bytea[]) hash`,
    [made.map(({ key_hash }) => key_hash)],
  )
  return made.map(({ api_key }) => api_key)
}

/** Answers how many queries there were since. */
function countQueries(db: DatabaseModule.Database): () => number {
  const original = db.query.bind(db)
  let count = 0
  db.query = (...args: Parameters<typeof original>) => {
    count++
    return original(...args)
  }
  return () => count
}

/** CPU of this process per call, in microseconds: other processes hardly move it. */
async function timed(count: number, call: (n: number) => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  for (let n = 0; n < count; n++) await call(n)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

const us = (value: number) => `${value.toFixed(2)} µs`
