import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { environmentOf, type TestApp } from './test-app.js'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export type ChildServer = Awaited<ReturnType<typeof startChild>>

/** The compiled program as a process of its own, on the database and the engines of `app`. */
export async function startChild(app: TestApp, env: Record<string, string> = {}) {
  const known = await processIds(app)
  const { child, url, exited } = await spawnServer(app, env, 'pipe')
  let output = ''
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes('answers at http')) resolve()
    }
    child.stdout!.on('data', read)
    child.stderr!.on('data', read)
    void exited.then(([code]) => reject(new Error(`it ended with ${code}:\n${output}`)))
  })
  const process_id = (await processIds(app)).find((id) => !known.includes(id))!
  return {
    url,
    /** Its name among the processes of the database. */
    process_id,
    pid: child.pid!,
    /** Everything it has written. */
    output: () => output,
    /** Sends a signal and waits for the end; answers the exit code. */
    end: async (signal: NodeJS.Signals) => {
      child.kill(signal)
      const tooLong = setTimeout(() => child.kill('SIGKILL'), 20_000)
      const [code] = await exited
      clearTimeout(tooLong)
      return code
    },
  }
}

/** The same program without a wait for its first words, which go where `stdout` says. */
export async function spawnServer(app: TestApp, env: Record<string, string>, stdout: 'pipe' | number) {
  const settings: Record<string, string> = {
    ...(await environmentOf(app.database, app.sandboxes)),
    LOG_LEVEL: 'info',
    ...env,
    PATH: process.env.PATH ?? '',
  }
  const child = spawn(process.execPath, [MAIN], { cwd: tmpdir(), env: settings, stdio: ['ignore', stdout, 'pipe'] })
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  return { child, url: `http://127.0.0.1:${settings.PORT}`, exited }
}

async function processIds(app: TestApp): Promise<number[]> {
  return (await app.db.query<{ id: number }>('select id from processes')).rows.map(({ id }) => id)
}
