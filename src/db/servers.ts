import type { Queryable } from './database.js'

export interface Server {
  name: string
  url: string
  /** In EVOLUTION_SERVERS, or added by the operator; one that is neither gets no new numbers. */
  listed: boolean
  source: 'setting' | 'admin'
  state: 'active' | 'draining' | 'disabled'
  healthy: boolean | null
  problem: string | null
  problem_code: string | null
  checked_at: Date | null
  down_since: Date | null
  capacity: number | null
  memory_mb: number | null
  version: string | null
  client_name: string | null
  duplicate_of: string | null
  shares_with: string | null
  licence: string | null
  version_at: Date | null
  compared_at: Date | null
  foreign_instances: number | null
  created_at: Date
}

export const columns = [
  'name, url, listed, source, state, healthy, problem, problem_code, checked_at, down_since, capacity, memory_mb',
  'version, client_name, duplicate_of, shares_with, licence, version_at, compared_at, foreign_instances, created_at',
].join(', ')

/** Makes the table follow the setting: new ones are added, moved ones get their address, missing ones no new numbers. */
export async function seed(db: Queryable, servers: { name: string; url: string }[]): Promise<void> {
  const names = servers.map((server) => server.name)
  await db.query(
    `insert into servers (name, url) select * from unnest($1::text[], $2::text[])
         on conflict (name) do update
        set url = excluded.url, listed = true, source = 'setting', removed_at = null,
            state = case when servers.removed_at is null then servers.state else 'active' end,
            healthy = case when servers.url = excluded.url then servers.healthy end`,
    [names, servers.map((server) => server.url)],
  )
  await db.query(`update servers set listed = false where source = 'setting' and name <> all($1::text[])`, [names])
}

/** All that are not removed. */
export async function list(db: Queryable): Promise<Server[]> {
  const { rows } = await db.query<Server>(`select ${columns} from servers where removed_at is null order by name`)
  return rows
}

export async function find(db: Queryable, name: string): Promise<Server | undefined> {
  const { rows } = await db.query<Server>(`select ${columns} from servers where name = $1 and removed_at is null`, [
    name,
  ])
  return rows[0]
}

export async function lock(tx: Queryable, name: string): Promise<Server | undefined> {
  const { rows } = await tx.query<Server>(
    `select ${columns} from servers where name = $1 and removed_at is null for no key update`,
    [name],
  )
  return rows[0]
}

export async function recordHealth(
  db: Queryable,
  name: string,
  problem: { code: string; message: string } | null,
): Promise<void> {
  await db.query(
    `update servers
        set healthy = $2, problem_code = $3, problem = $4, checked_at = now(),
            down_since = case when $2 then null else coalesce(down_since, now()) end,
            version_at = case when $2 and healthy is false then null else version_at end
      where name = $1`,
    [name, problem === null, problem?.code ?? null, problem?.message ?? null],
  )
}

export async function recordVersion(
  db: Queryable,
  name: string,
  found: { version: string | null; client_name: string | null; licence: string },
): Promise<void> {
  await db.query(
    'update servers set version = $2, client_name = $3, licence = $4, version_at = now() where name = $1',
    [name, found.version, found.client_name, found.licence],
  )
}

/** Flags servers that share a client name, so that neither gets another number; clears the flag of the others. */
export async function flagDuplicates(db: Queryable): Promise<void> {
  await db.query(
    `update servers s set duplicate_of = d.other
       from (select a.name, (select min(b.name) from servers b
                              where b.name <> a.name and b.client_name = a.client_name and b.removed_at is null
                                and b.url <> a.url) as other
               from servers a where a.removed_at is null) d
      where d.name = s.name and s.duplicate_of is distinct from d.other`,
  )
}

/** What a look at the server's instances has shown: others' ones, and ours that belong on another server. */
export async function recordComparison(
  db: Queryable,
  name: string,
  found: { foreign_instances: number; shares_with: string | null },
): Promise<void> {
  await db.query('update servers set compared_at = now(), foreign_instances = $2, shares_with = $3 where name = $1', [
    name,
    found.foreign_instances,
    found.shares_with,
  ])
}

/** Adds a server, or brings one back that was removed. False when the name is taken. */
export async function insert(
  tx: Queryable,
  server: { name: string; url: string; capacity: number | null; memory_mb: number | null },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `insert into servers as s (name, url, capacity, memory_mb, source) values ($1, $2, $3, $4, 'admin')
         on conflict (name) do update
        set url = excluded.url, capacity = excluded.capacity, memory_mb = excluded.memory_mb, source = 'admin',
            removed_at = null, listed = true, state = 'active', healthy = null, version_at = null, duplicate_of = null
      where s.removed_at is not null`,
    [server.name, server.url, server.capacity, server.memory_mb],
  )
  return rowCount === 1
}

export type Changes = Partial<Pick<Server, 'url' | 'state' | 'capacity' | 'memory_mb'>>

export async function update(tx: Queryable, name: string, changes: Changes): Promise<void> {
  await tx.query(
    `update servers
        set url = coalesce($2, url), state = coalesce($3, state),
            capacity = case when $4 then $5::integer else capacity end,
            memory_mb = case when $6 then $7::integer else memory_mb end,
            healthy = case when $2 is null or $2 = url then healthy end,
            version_at = case when $2 is null or $2 = url then version_at end
      where name = $1`,
    [
      name,
      changes.url ?? null,
      changes.state ?? null,
      changes.capacity !== undefined,
      changes.capacity ?? null,
      changes.memory_mb !== undefined,
      changes.memory_mb ?? null,
    ],
  )
}

/** Forgets a server as far as that is possible: deleted numbers still name it. */
export async function markRemoved(tx: Queryable, name: string): Promise<void> {
  await tx.query(`update servers set removed_at = now(), state = 'disabled', listed = false where name = $1`, [name])
}
