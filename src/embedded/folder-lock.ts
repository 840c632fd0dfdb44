import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStart } from './process-table.js'

export interface FolderLock {
  release(): void
}

interface Holder {
  pid: number
  started: string
}

/** Raised when a live process already works on the folder. */
export class FolderInUseError extends Error {
  override name = 'FolderInUseError'

  constructor(
    readonly folder: string,
    readonly pid: number,
  ) {
    super(
      `The data folder ${folder} is already in use by process ${pid}. ` +
        'Stop that one first, or start this one with another DATA_DIR (and PORT).',
    )
  }
}

/** The live process that holds the folder, if any. A lock left behind by `kill -9` counts for nothing. */
export function lockHolder(folder: string): number | undefined {
  return liveHolder(read(lockFile(folder)))
}

/** Takes the folder for this process, waiting `wait_ms` for one that is just ending. Throws FolderInUseError. */
export async function lockFolder(folder: string, wait_ms = 0): Promise<FolderLock> {
  const file = lockFile(folder)
  const own = JSON.stringify({ pid: process.pid, started: processStart(process.pid) } satisfies Holder)
  const deadline = Date.now() + wait_ms
  for (;;) {
    if (place(file, own)) return { release: () => releaseIfOwn(file, own) }
    const found = read(file)
    const pid = liveHolder(found)
    if (pid === undefined) removeStale(file, found)
    else if (Date.now() >= deadline) throw new FolderInUseError(folder, pid)
    else await sleep(50)
  }
}

const lockFile = (folder: string) => path.join(folder, 'lock')

/** A hard link appears with its whole content or not at all, which `open('wx')` followed by a write does not. */
function place(file: string, content: string): boolean {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, content)
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Moves the dead lock aside; when another starter replaced it in between, what was moved is put back. */
function removeStale(file: string, seen: string) {
  const aside = `${file}.${process.pid}.stale`
  try {
    renameSync(file, aside)
  } catch {
    return
  }
  const moved = read(aside)
  if (moved !== seen) place(file, moved)
  rmSync(aside, { force: true })
}

function releaseIfOwn(file: string, own: string) {
  if (read(file) === own) rmSync(file, { force: true })
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function liveHolder(content: string): number | undefined {
  try {
    const holder = JSON.parse(content) as Holder
    return processStart(holder.pid) === holder.started && holder.started !== '' ? holder.pid : undefined
  } catch {
    return undefined
  }
}
