import type pg from 'pg'

/**
 * Begins a new epoch of all feeds when this database was filled from a backup: it is another one then than the one that
 * it says to be. Answers whether. A copy of the files of a whole server is not noticed.
 */
export async function noteRestore(client: pg.Client): Promise<boolean> {
  await client.query('begin')
  try {
    const identity = await identityOf(client)
    const { rows } = await client.query<{ identity: string }>(
      `insert into database_identity as d (identity) values ($1)
           on conflict (only_one) do update set identity = d.identity
       returning identity`,
      [identity],
    )
    const restored = rows[0]!.identity !== identity
    if (restored) await beginEpoch(client, identity)
    await client.query('commit')
    return restored
  } catch (err) {
    await client.query('rollback')
    throw err
  }
}

async function beginEpoch(client: pg.Client, identity: string): Promise<void> {
  await client.query(
    'update feeds set epoch = extract(epoch from clock_timestamp()) * 1000, epoch_from = last_position',
  )
  await client.query('update database_identity set identity = $1', [identity])
}

/** Of the server, where it may be asked for, of the database in it, and of its table, which a dump makes anew. */
async function identityOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ oid: string; may_ask: boolean }>(
    `select oid || '/' || 'database_identity'::regclass::oid as oid, has_function_privilege('pg_control_system()', 'execute') as may_ask
       from pg_database where datname = current_database()`,
  )
  const { oid, may_ask } = rows[0]!
  if (!may_ask) return oid
  const server = await client.query<{ id: string }>('select system_identifier::text as id from pg_control_system()')
  return `${server.rows[0]!.id}/${oid}`
}
