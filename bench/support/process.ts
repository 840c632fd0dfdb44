import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PROBE = fileURLToPath(new URL('../probe.cjs', import.meta.url))

/** Pinning needs `taskset` (Linux) and two cores; without it the figures are those of a shared machine. */
export const pinned = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0

const SERVER_CORE = '0'
const OTHER_CORES = `1-${availableParallelism() - 1}`

/** Moves this process, and with it all it starts unpinned (engine, PostgreSQL, Redis), off the server's core. */
export function stepAside(): void {
  if (pinned) spawnSync('taskset', ['-acp', OTHER_CORES, String(process.pid)])
}

export interface Cost {
  cpu_us: number
  rss: number
}

export interface Launch {
  args: string[]
  env?: Record<string, string>
  /** Standard output goes here; the end of the test's own output when missing. */
  log_file?: string
  /** Where the process answers once it is up. */
  port?: number
}

/** A process under test, alone on its core. */
export class Subject {
  private constructor(private readonly child: ChildProcess) {}

  static async start(launch: Launch): Promise<Subject> {
    const subject = Subject.spawn(launch)
    if (launch.port !== undefined) await answering(launch.port, subject.child)
    return subject
  }

  private static spawn({ args, env, log_file }: Launch): Subject {
    const log = log_file === undefined ? 'ignore' : openSync(log_file, 'a')
    const node = ['--require', PROBE, ...args]
    const [command, all] = pinned
      ? ['taskset', ['-c', SERVER_CORE, process.execPath, ...node]]
      : [process.execPath, node]
    // `npm run` leaves its mark in the environment, and the product would watch over an npm that is not its parent.
    const own: NodeJS.ProcessEnv = { ...process.env, NODE_ENV: 'production', ...env }
    delete own.npm_lifecycle_event
    const options = { cwd: ROOT, env: own }
    const child = spawn(command, all, { ...options, stdio: ['ignore', log, 'inherit', 'ipc'] })
    if (typeof log === 'number') closeSync(log)
    return new Subject(child)
  }

  get pid(): number {
    return this.child.pid!
  }

  async cost(): Promise<Cost> {
    const { cpu, rss } = await this.ask<{ cpu: NodeJS.CpuUsage; rss: number }>('cost')
    return { cpu_us: cpu.user + cpu.system, rss }
  }

  async ask<Answer>(question: unknown): Promise<Answer> {
    const answer = once(this.child, 'message')
    this.child.send(question as string)
    const [value] = (await answer) as [Answer]
    return value
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 12_000)
    await exit
    clearTimeout(timer)
  }
}

async function answering(port: number, child: ChildProcess): Promise<void> {
  const end = Date.now() + 30_000
  while (Date.now() < end && child.exitCode === null) {
    const up = await fetch(`http://127.0.0.1:${port}/health`).then(
      () => true,
      () => false,
    )
    if (up) return
    await sleep(50)
  }
  throw new Error(`What should answer on port ${port} did not start.`)
}
