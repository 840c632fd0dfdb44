import type { Queryable } from './database.js'

export interface DatabaseFacts {
  version: string
  size_bytes: number
  max_connections: number
  connections: number
  read_only: boolean
  now: Date
}

/** What the database says about itself. */
export async function facts(db: Queryable): Promise<DatabaseFacts> {
  const { rows } = await db.query<DatabaseFacts>(
    `select current_setting('server_version') as version, pg_database_size(current_database()) as size_bytes,
            current_setting('max_connections')::integer as max_connections,
            (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
            pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean as read_only,
            clock_timestamp() as now`,
  )
  return rows[0]!
}

/** Names and checksums of the migrations that were applied; undefined when none ever was. */
export async function appliedMigrations(db: Queryable): Promise<{ name: string; checksum: string }[] | undefined> {
  const { rows: found } = await db.query(`select 1 where to_regclass('schema_migrations') is not null`)
  if (found.length === 0) return undefined
  const { rows } = await db.query<{ name: string; checksum: string }>('select name, checksum from schema_migrations')
  return rows
}

/** When each server last told us something. */
export async function lastEvents(db: Queryable): Promise<Map<string, Date | null>> {
  const { rows } = await db.query<{ server: string; at: Date | null }>(
    'select server_instance as server, max(last_event_at) as at from phone_numbers group by server_instance',
  )
  return new Map(rows.map(({ server, at }) => [server, at]))
}

/** Writes a little and takes it back: a full disk refuses that. */
export async function tryToWrite(tx: Queryable): Promise<void> {
  await tx.query('create temporary table doctor_probe on commit drop as select generate_series(1, 1000) as n')
}
