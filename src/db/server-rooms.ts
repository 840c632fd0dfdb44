import type { Queryable } from './database.js'
import { type Server, columns } from './servers.js'

const PLACEMENT_LOCK = 7_221_502

/** An Evolution server takes about 300 MiB for itself and 5–19 MiB for each number it has connected. */
const OWN_MB = 300
const NUMBER_MB = 15
const capacity = (memory: string) =>
  `coalesce(s.capacity, greatest(1, (coalesce(s.memory_mb, ${memory}) - ${OWN_MB}) / ${NUMBER_MB}))`
const placed = `(select count(*) from phone_numbers p
                  where p.server_instance = s.name and p.deleted_at is null and p.parked_at is null)`
const takesNumbers = `s.listed and s.state = 'active' and s.healthy is not false and s.duplicate_of is null
                      and s.shares_with is null and s.removed_at is null`

/** Serialises everybody who places a number, until the end of the transaction. */
export async function lockPlacement(tx: Queryable): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [PLACEMENT_LOCK])
}

/** Round robin over the healthy servers with room, whoever asks: the one whose last placement is longest ago. */
export async function takeNext(tx: Queryable, except: string[], memoryMb: number): Promise<Server | undefined> {
  // Without it two at once would wait for the same row and then both take it, or the last place.
  await lockPlacement(tx)
  const { rows } = await tx.query<Server>(
    `update servers set last_placed_at = clock_timestamp()
      where name = (select s.name from servers s
                     where ${takesNumbers} and s.name <> all($1::text[]) and ${placed} < ${capacity('$2::integer')}
                     order by s.last_placed_at nulls first, s.name
                     limit 1)
     returning ${columns}`,
    [except, memoryMb],
  )
  return rows[0]
}

/** Those that could take a number if they had room. */
export async function countOpen(db: Queryable, except: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `select count(*) as count from servers s where ${takesNumbers} and s.name <> $1`,
    [except],
  )
  return rows[0]!.count
}

/** Where a number that has no instance yet may be noted down: it is placed for good when it gets one. */
export async function findRoomiest(tx: Queryable, except: string): Promise<string | undefined> {
  const { rows } = await tx.query<{ name: string }>(
    `select s.name from servers s
      where ${takesNumbers} and s.name <> $1
      order by (select count(*) from phone_numbers p where p.server_instance = s.name and p.deleted_at is null), s.name
      limit 1`,
    [except],
  )
  return rows[0]?.name
}

export interface Room {
  name: string
  capacity: number
  placed: number
  takes_numbers: boolean
}

/** How full each server is, by an index: asked all the time. */
export async function rooms(db: Queryable, memoryMb: number): Promise<Room[]> {
  const { rows } = await db.query<Room>(
    `select s.name, ${capacity('$1::integer')} as capacity, ${takesNumbers} as takes_numbers, ${placed} as placed
       from servers s where s.removed_at is null`,
    [memoryMb],
  )
  return rows
}

export interface Load extends Room {
  parked: number
  statuses: Record<string, number>
  pending_removals: number
}

/** What each server carries; reads every number. */
export async function loads(db: Queryable, memoryMb: number): Promise<Load[]> {
  const { rows } = await db.query<Load>(
    `select s.name, ${capacity('$1::integer')} as capacity, ${takesNumbers} as takes_numbers,
            coalesce(sum(n.count) filter (where not n.parked), 0) as placed,
            coalesce(sum(n.count) filter (where n.parked), 0) as parked,
            coalesce(jsonb_object_agg(n.status, n.count) filter (where not n.parked), '{}') as statuses,
            (select count(*) from instance_removals r where r.server_instance = s.name) as pending_removals
       from servers s
       left join (
         select server_instance, status, parked_at is not null as parked, count(*) as count
           from phone_numbers where deleted_at is null group by 1, 2, 3) n on n.server_instance = s.name
      where s.removed_at is null
      group by s.name`,
    [memoryMb],
  )
  return rows
}
