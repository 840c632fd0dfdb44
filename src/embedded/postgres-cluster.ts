import { spawn } from 'node:child_process'
import { chownSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Owner } from './data-folder.js'
import type { Binaries } from './postgres-binaries.js'
import { cleanEnvironment } from './postgres-server.js'

interface Initialise {
  binaries: Binaries
  cluster: string
  owner: Owner | undefined
  password: string
  sync: boolean
}

/** Made aside and renamed when complete, so that a kill in the middle leaves nothing that looks like a database. */
export async function initialise({ binaries, cluster, owner, password, sync }: Initialise) {
  const draft = `${cluster}.new`
  const passwordFile = path.join(path.dirname(cluster), `postgres.pw.${process.pid}`)
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
  if (owner) for (const file of [draft, passwordFile]) chownSync(file, owner.uid, owner.gid)
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const access = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  try {
    await run(binaries.initdb, ['-D', draft, ...locale, ...access, ...(sync ? [] : ['--no-sync'])], owner)
    renameSync(draft, cluster)
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

/** Sets the password without knowing the old one, through PostgreSQL's single-user mode; the server must be stopped. */
export async function setPassword(
  { binaries, cluster, owner }: Pick<Initialise, 'binaries' | 'cluster' | 'owner'>,
  password: string,
) {
  const statement = `alter user postgres password '${password}'\n`
  await run(binaries.postgres, ['--single', '-D', cluster, 'postgres'], owner, statement)
}

function run(program: string, args: string[], owner: Owner | undefined, input = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...owner, cwd: '/', env: cleanEnvironment, stdio: 'pipe' })
    let output = ''
    const keep = (chunk: Buffer) => (output += chunk.toString())
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else
        reject(new Error(explain(output) ?? `${path.basename(program)} failed (${signal ?? code}):\n${output.trim()}`))
    })
  })
}

function explain(output: string): string | undefined {
  if (/could not look up effective user/.test(output))
    return 'PostgreSQL runs only as a user that the system knows, and this user id has no entry in /etc/passwd.'
  if (/No space left/.test(output)) return 'The disk is full.'
  return undefined
}
