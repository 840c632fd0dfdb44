import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Binaries } from './postgres-binaries.js'
import type { Owner } from './data-folder.js'
import { freePorts } from './free-ports.js'
import { readPidFile } from './postgres-orphan.js'

export interface Launch {
  binaries: Binaries
  cluster: string
  owner: Owner | undefined
  log_file: string
  settings: Record<string, string>
  /** A free one unless given. */
  port?: number
}

export interface RunningServer {
  port: number
  /** Settles when PostgreSQL has ended, for whatever reason. */
  exited: Promise<void>
  close(): Promise<void>
}

const START_LIMIT_MS = 120_000
const LOG_LIMIT_BYTES = 5 * 1024 * 1024

/** Nothing of ours leaks into PostgreSQL: PG… variables and odd locales have made it fail elsewhere. */
export const cleanEnvironment = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/** Starts PostgreSQL on 127.0.0.1 and waits until it takes connections. */
export async function launch(options: Launch): Promise<RunningServer> {
  rotate(options.log_file)
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePorts(1))
    const started = await tryLaunch(options, port)
    if (!('failure' in started)) return running(port, started)
    const passing = /could not bind|could not create any TCP|still in use|lock file .* already exists/.test(
      started.failure,
    )
    if (!passing || attempt === 20) throw new Error(`PostgreSQL did not start:\n${started.failure.trim()}`)
    await sleep(250)
  }
}

function running(port: number, { child, guard }: Started): RunningServer {
  const exited = new Promise<void>((resolve) => {
    if (hasEnded(child)) resolve()
    else child.once('exit', () => resolve())
  })
  return { port, exited: exited.finally(() => guard.kill('SIGKILL')), close: () => stop(child) }
}

interface Started {
  child: ChildProcess
  guard: ChildProcess
}

type Outcome = Started | { failure: string }

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

async function tryLaunch({ binaries, cluster, owner, log_file, settings }: Launch, port: number): Promise<Outcome> {
  const log = openSync(log_file, 'a', 0o600)
  const before = statSync(log_file).size
  const given = { ...settings, port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: '' }
  const child = spawn(
    binaries.postgres,
    ['-D', cluster, ...Object.entries(given).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...owner, cwd: '/', env: cleanEnvironment, stdio: ['ignore', log, log], detached: true },
  )
  closeSync(log)
  child.unref()
  let ended: string | undefined
  child.once('error', (error) => (ended = error.message))
  child.once('exit', (code, signal) => (ended ??= `it ended with ${signal ?? code}`))
  const guard = child.pid === undefined ? undefined : guardOf(child.pid)
  const deadline = Date.now() + START_LIMIT_MS
  for (;;) {
    const state = readPidFile(cluster)
    if (ended === undefined && guard && state?.ready && state.pid === child.pid) return { child, guard }
    if (ended !== undefined) {
      guard?.kill('SIGKILL')
      return { failure: `${readFileSync(log_file).subarray(before).toString()}\n${ended}` }
    }
    if (Date.now() > deadline) child.kill('SIGQUIT')
    await sleep(5)
  }
}

/**
 * PostgreSQL outlives a parent that is killed with SIGKILL. This one-line shell waits for the end of its input,
 * which comes with our death of whatever kind, and then stops PostgreSQL in good order.
 */
function guardOf(pid: number): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', 'read -r _; kill -INT "$1"', 'postgres-guard', String(pid)], {
    cwd: '/',
    env: cleanEnvironment,
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.on('error', () => undefined)
  guard.unref()
  ;(guard.stdin as Socket).unref()
  return guard
}

async function stop(child: ChildProcess) {
  child.ref()
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (hasEnded(child)) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await Promise.race([exit, sleep(15_000, undefined, { ref: false })])
  }
}

function rotate(log_file: string) {
  try {
    if (statSync(log_file).size > LOG_LIMIT_BYTES) renameSync(log_file, `${log_file}.1`)
  } catch {
    // There is no log yet.
  }
}
