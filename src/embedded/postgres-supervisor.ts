import { setTimeout as sleep } from 'node:timers/promises'
import { launch, type Launch, type RunningServer } from './postgres-server.js'

/** Starts PostgreSQL, and starts it again on the same port when somebody else ends it (the kernel, short of memory). */
export async function keepRunning(start: Launch, log: (line: string) => void): Promise<RunningServer> {
  let server = await launch(start)
  const { port } = server
  let closed = false

  async function watch() {
    for (;;) {
      await server.exited
      if (closed) return
      log('PostgreSQL ended unexpectedly and is started again.')
      try {
        server = await launch({ ...start, port })
      } catch (error) {
        log((error as Error).message)
        await sleep(2_000, undefined, { ref: false })
      }
    }
  }

  const watching = watch()
  const close = async () => {
    closed = true
    await server.close()
    await watching
    // It may have been started again while we were asked to close.
    await server.close()
  }
  return { port, exited: watching, close }
}
