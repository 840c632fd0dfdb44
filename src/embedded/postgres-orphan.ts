import { readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { commandOf, processStart } from './process-table.js'

/** What PostgreSQL writes about itself into its data folder. */
export function readPidFile(cluster: string): { pid: number; ready: boolean } | undefined {
  try {
    const lines = readFileSync(path.join(cluster, 'postmaster.pid'), 'utf8').split('\n')
    const pid = Number(lines[0])
    return Number.isInteger(pid) && pid > 1 ? { pid, ready: lines[7]?.trim() === 'ready' } : undefined
  } catch {
    return undefined
  }
}

/**
 * Stops the PostgreSQL that a killed process left behind. The caller holds the folder's lock, so nobody uses it.
 * A pid file whose process is something else by now is removed: PostgreSQL itself would refuse to start over it.
 */
export async function stopOrphan(cluster: string): Promise<boolean> {
  const found = readPidFile(cluster)
  if (!found || processStart(found.pid) === '') return false
  if (!isPostgresOf(found.pid, cluster)) {
    rmSync(path.join(cluster, 'postmaster.pid'), { force: true })
    return false
  }
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    try {
      process.kill(found.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') return true
      throw new Error(`PostgreSQL (process ${found.pid}) of another user still runs on ${cluster}; stop it first.`, {
        cause: error,
      })
    }
    if (await hasEnded(found.pid, 10_000)) return true
  }
  throw new Error(`PostgreSQL (process ${found.pid}) still runs on ${cluster} and does not stop.`)
}

async function hasEnded(pid: number, limit_ms: number): Promise<boolean> {
  const started = processStart(pid)
  const deadline = Date.now() + limit_ms
  while (started !== '' && processStart(pid) === started) {
    if (Date.now() > deadline) return false
    await sleep(20)
  }
  return true
}

/** PostgreSQL works in its data folder and names it in its command line; one of the two can be read everywhere. */
function isPostgresOf(pid: number, cluster: string): boolean {
  try {
    if (process.platform === 'linux') return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(cluster)
  } catch {
    // Not ours to look into: ask ps below.
  }
  const command = commandOf(pid)
  return command.includes('postgres') && command.includes(`-D ${cluster}`)
}
