import type { Queryable } from './database.js'

export interface Server {
  name: string
  url: string
  listed: boolean
  healthy: boolean | null
  problem: string | null
}

const columns = 'name, url, listed, healthy, problem'
const PLACEMENT_LOCK = 7_221_502

/** Makes the table follow the setting: new ones are added, moved ones get their address, missing ones no new numbers. */
export async function seed(db: Queryable, servers: { name: string; url: string }[]): Promise<void> {
  const names = servers.map((server) => server.name)
  await db.query(
    `insert into servers (name, url) select * from unnest($1::text[], $2::text[])
         on conflict (name) do update set url = excluded.url, listed = true`,
    [names, servers.map((server) => server.url)],
  )
  await db.query('update servers set listed = false where name <> all($1::text[])', [names])
}

export async function list(db: Queryable): Promise<Server[]> {
  const { rows } = await db.query<Server>(`select ${columns} from servers order by name`)
  return rows
}

/** Round robin over the healthy servers, whoever asks: the one whose last placement is longest ago. */
export async function takeNext(tx: Queryable, except: string[]): Promise<Server | undefined> {
  // Without it two at once would wait for the same row and then both take it.
  await tx.query('select pg_advisory_xact_lock($1)', [PLACEMENT_LOCK])
  const { rows } = await tx.query<Server>(
    `update servers set last_placed_at = clock_timestamp()
      where name = (select name from servers
                     where listed and healthy is not false and name <> all($1::text[])
                     order by last_placed_at nulls first, name
                     limit 1)
     returning ${columns}`,
    [except],
  )
  return rows[0]
}

export async function recordHealth(db: Queryable, name: string, problem: string | null): Promise<void> {
  await db.query('update servers set healthy = $2, problem = $3, checked_at = now() where name = $1', [
    name,
    problem === null,
    problem,
  ])
}
