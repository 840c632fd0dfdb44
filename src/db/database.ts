import pg from 'pg'
import { arrayLiteral } from './array-literal.js'

/** What a query module needs: the pool and a transaction both have it. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<Row>>
}

export interface DatabaseAddress {
  host: string
  port: number
  user: string
  password: string
  name: string
}

const DATE = 1082
const NUMERIC = 1700
pg.types.setTypeParser(pg.types.builtins.INT8, Number)
pg.types.setTypeParser(NUMERIC, Number)
pg.types.setTypeParser(DATE, (text) => text) // a day has no time zone: a Date would give it one
pg.types.setTypeParser(pg.types.builtins.JSON, (text) => text) // kept word for word, as it was signed; jsonb is read

const DEADLOCK = '40P01'
const SERIALIZATION = '40001'

/**
 * Begins a transaction whose statements find a few rows each by their keys. Of a young table the planner believes that
 * reading all of it is cheaper, and keeps to that while the table grows, until it is analyzed: it is not given the choice.
 * Nor does it think anew for each number of rows, which takes longer than writing one.
 */
export const BEGIN_BY_KEYS = [
  'begin',
  ...['hashjoin', 'mergejoin', 'material', 'seqscan'].map((way) => `set local enable_${way} = off`),
  'set local plan_cache_mode = force_generic_plan',
].join('; ')

/** The same for a few rows out of many, in the order of an index: a bitmap, or a sort, would be made of all of them first. */
export const BEGIN_IN_PARTS = `${BEGIN_BY_KEYS}; set local enable_bitmapscan = off; set local enable_sort = off`

/**
 * Joins a row that is written by its id, one after the other. Of a table that was nearly empty when a statement was planned,
 * PostgreSQL would go through all, and look for each row among those that are asked for; `= any` leaves it no such way.
 * What is only read is looked up `cross join lateral (… where id = … offset 0)`, for the same reason.
 */
export const byId = (row: string, id: string) => `${row}.id = any(array[${id}])`

export class Database implements Queryable {
  private constructor(private readonly pool: pg.Pool) {}

  static connect(address: DatabaseAddress & { pool_max?: number }): Database {
    const pool = new pg.Pool({
      host: address.host,
      port: address.port,
      user: address.user,
      password: address.password,
      database: address.name,
      max: address.pool_max ?? 12,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      application_name: 'whatsapp-saas-api',
      statement_timeout: 30_000,
      idle_in_transaction_session_timeout: 30_000,
      pipeline: true,
    })
    // A connection may die while nobody is using it; without these listeners that kills the process.
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
    return new Database(pool)
  }

  /** One statement is a transaction too. */
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]) {
    return untilThrough(() => this.pool.query<Row>(prepared(text, values)))
  }

  /** Runs `work` in a transaction, anew when it meets another and they lock each other out. */
  transaction<T>(work: (tx: Transaction) => Promise<T>, begin = 'begin'): Promise<T> {
    return untilThrough(() => this.once(work, begin))
  }

  private async once<T>(work: (tx: Transaction) => Promise<T>, begin: string): Promise<T> {
    const client = await this.pool.connect()
    const tx = new Transaction(client)
    let broken: Error | undefined
    try {
      const begun = client.query(begin)
      begun.catch(() => {}) // told below, after the statements that went out together with it
      const result = await work(tx)
      await begun
      const { command } = await tx.commit()
      if (command !== 'COMMIT') throw new Error('A statement of the transaction failed unnoticed.')
      return result
    } catch (err) {
      tx.end()
      await client.query('rollback').catch((rollbackError: Error) => (broken = rollbackError))
      throw err
    } finally {
      client.release(broken)
    }
  }

  close(): Promise<void> {
    return this.pool.end()
  }
}

/**
 * The statements between begin and commit. Those that do not wait for each other travel together; when one of them has
 * failed, what the others would still send must not run outside.
 */
export class Transaction implements Queryable {
  private ended = false
  private committing: Promise<pg.QueryResult> | undefined

  constructor(private readonly client: pg.PoolClient) {}

  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]) {
    if (this.ended) return Promise.reject(new Error('The transaction is over.'))
    return this.client.query<Row>(prepared(text, values))
  }

  /**
   * Sends the commit right behind the last statements, which must be on their way already: one round trip for both.
   * When one of them fails, PostgreSQL undoes everything; what would be sent after them is refused.
   */
  async commitWith<T>(last: Promise<T>): Promise<T> {
    const committing = this.commit()
    committing.catch(() => {}) // told by the transaction, after what made it fail
    return last
  }

  commit(): Promise<pg.QueryResult> {
    this.end()
    return (this.committing ??= this.client.query('commit'))
  }

  end() {
    this.ended = true
  }
}

const names = new Map<string, string>()

/** A statement with parameters is parsed and planned once per connection, not at each call. */
function prepared(text: string, values?: unknown[]): pg.QueryConfig {
  if (!values) return { text }
  const name = names.get(text) ?? `s${names.size + 1}`
  names.set(text, name)
  return { name, text, values: values.map((value) => (Array.isArray(value) ? (arrayLiteral(value) ?? value) : value)) }
}

/** Rows back in the order they were asked for (`place` counts from 1), with gaps where there was none. */
export function inPlace<Row extends { place: number }>(rows: Row[], count: number): (Row | undefined)[] {
  const placed = new Array<Row | undefined>(count).fill(undefined)
  for (const row of rows) placed[row.place - 1] = row
  return placed
}

export const violates = (err: unknown, constraint: string) =>
  err instanceof pg.DatabaseError && err.constraint === constraint

/** Turns one named constraint into the error the caller should see; everything else passes through. */
export function onConstraint(constraint: string, toError: () => Error) {
  return (err: unknown): never => {
    if (violates(err, constraint)) throw toError()
    throw err
  }
}

/** PostgreSQL ends one of those that lock each other out, as if it had never begun: that is run again, at most three times. */
async function untilThrough<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (err) {
      if (attempt >= 3 || !isRetryable(err)) throw err
    }
  }
}

function isRetryable(err: unknown): boolean {
  return err instanceof pg.DatabaseError && (err.code === DEADLOCK || err.code === SERIALIZATION)
}

/** True when the database could not be reached or was shutting down: the caller may try again later. */
export function isDatabaseDown(err: unknown): boolean {
  if (!(err instanceof Error)) return false
  const code = 'code' in err ? String(err.code) : ''
  if (/^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH)$/.test(code)) return 'syscall' in err
  if (/^(08|57P|53)/.test(code)) return true
  return /^Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/.test(
    err.message,
  )
}
