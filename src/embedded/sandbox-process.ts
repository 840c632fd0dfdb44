import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePorts } from './free-ports.js'

export interface SandboxServer {
  name: string
  url: string
}

export interface Sandbox {
  servers: SandboxServer[]
  close(): Promise<void>
}

interface SandboxProcessOptions {
  api_key: string
  data_dir: string
  log: (line: string) => void
}

const START_LIMIT_MS = 20_000
const MAX_BACK_OFF_MS = 30_000
const STOP_LIMIT_MS = 5_000

/**
 * Two simulated Evolution servers in one process of their own, so that they fail and answer like a machine apart.
 * It ends with us through its IPC channel, and is started again on the same ports when it ends by itself.
 */
export async function startSandbox(options: SandboxProcessOptions): Promise<Sandbox> {
  const port = await freePorts(2)
  let child = run(options, port)
  const servers = await ready(child)
  let closed = false

  async function watch() {
    for (let wait = 500; ; wait = Math.min(wait * 2, MAX_BACK_OFF_MS)) {
      if (!hasEnded(child)) await once(child, 'exit')
      if (closed) return
      options.log('The sandbox ended unexpectedly and is started again.')
      await sleep(wait, undefined, { ref: false })
      if (closed) return
      child = run(options, port)
      const failed = await ready(child).catch((error: Error) => error)
      if (failed instanceof Error) options.log(failed.message)
      else wait = 250
    }
  }

  void watch()
  const close = async () => {
    closed = true
    await stop(child)
  }
  return { servers, close }
}

/** The second server takes the port after the first one's. */
function run({ api_key, data_dir }: SandboxProcessOptions, port: number): ChildProcess {
  // Under tsx this file is TypeScript, and so is the other one, with the loader that is in execArgv.
  const extension = path.extname(fileURLToPath(import.meta.url))
  const entry = fileURLToPath(new URL(`../sandbox/main${extension}`, import.meta.url))
  const settings = { count: 2, port, name: 'sandbox', 'scan-after': 5, 'data-dir': data_dir }
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  return fork(entry, flags, {
    env: { ...process.env, SANDBOX_API_KEY: api_key },
    execArgv: process.execArgv.filter((flag) => !flag.startsWith('--inspect')),
    // A session of its own: Ctrl-C at the terminal reaches us alone, and we stop it after the server.
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

/** Its first word is the list of its servers; a loader may send messages of its own before. */
async function ready(child: ChildProcess): Promise<SandboxServer[]> {
  let late: NodeJS.Timeout | undefined
  try {
    return await new Promise((resolve, reject) => {
      late = setTimeout(() => reject(new Error('The sandbox did not start within 20 s.')), START_LIMIT_MS)
      child.on('message', (message) => {
        const { servers } = message as { servers?: SandboxServer[] }
        if (servers) resolve(servers)
      })
      child.once('error', reject)
      child.once('exit', (code, signal) => reject(new Error(`The sandbox did not start (${signal ?? code}).`)))
    })
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    clearTimeout(late)
  }
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

async function stop(child: ChildProcess) {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (hasEnded(child)) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await Promise.race([exit, sleep(STOP_LIMIT_MS, undefined, { ref: false })])
  }
}
