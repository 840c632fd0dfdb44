import { readFileSync, readdirSync } from 'node:fs'
import type pg from 'pg'

const TICK_US = 10_000

/** CPU of all of PostgreSQL's processes so far, in microseconds; undefined where there is no /proc. */
export async function databaseCost(db: pg.Pool): Promise<number | undefined> {
  const { rows } = await db.query<{ pid: number }>('select pg_backend_pid() as pid')
  const postmaster = statOf(rows[0]!.pid)?.[PARENT]
  if (postmaster === undefined) return undefined
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const living = pids.map((pid) => statOf(Number(pid))).filter((stat) => stat?.[PARENT] === postmaster)
  const own = living.reduce((sum, stat) => sum + stat![USER]! + stat![SYSTEM]!, 0)
  const ended = statOf(postmaster)
  return (own + (ended?.[ENDED_USER] ?? 0) + (ended?.[ENDED_SYSTEM] ?? 0)) * TICK_US
}

/** Places in /proc/<pid>/stat behind the name, which stands in brackets and may hold blanks. */
const [PARENT, USER, SYSTEM, ENDED_USER, ENDED_SYSTEM] = [1, 11, 12, 13, 14] as const

function statOf(pid: number): number[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ').map(Number)
  } catch {
    return undefined
  }
}
