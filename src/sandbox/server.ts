import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Controls } from './controls.js'
import { Directory } from './engine/directory.js'
import { Engine } from './engine/engine.js'
import { Timers } from './engine/timers.js'
import { TroubleBoard } from './engine/troubles.js'
import { WebhookPoster } from './engine/webhook-poster.js'
import { buildApp } from './http/app.js'
import { RequestLog } from './http/request-log.js'
import { settingsFrom, type SandboxOptions } from './options.js'
import { SandboxDatabase } from './store/database.js'

export { SandboxDatabase } from './store/database.js'
export type { SandboxOptions } from './options.js'
export type { Controls } from './controls.js'
export type { Troubles } from './engine/troubles.js'

export interface Sandbox {
  url: string
  name: string
  port: number
  controls: Controls
  /** Stops at once, as a killed server would: sends in flight and pending webhooks are lost. */
  close(): Promise<void>
}

/** Starts one simulated Evolution server. Rejects with a sentence when its port is taken. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const settings = settingsFrom(options)
  const database = options.database ?? SandboxDatabase.open(options.data_dir)
  const timers = new Timers()
  const poster = new WebhookPoster(settings.webhook_retry)
  let url = ''
  const engine = new Engine({
    settings,
    database,
    directory: new Directory(),
    troubles: new TroubleBoard(),
    poster,
    timers,
    reads: [],
    serverUrl: () => url,
  })
  const requests = new RequestLog()
  const controls = new Controls(engine, requests)
  const server = createServer(buildApp(engine, controls, requests))
  const port = await listen(server, settings.host, settings.port)
  url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`
  engine.start()

  const close = async (): Promise<void> => {
    engine.stop()
    timers.end()
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await Promise.all([closed, poster.close()])
    if (!options.database) database.close()
  }
  return { url, name: settings.name, port, controls, close }
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(
        taken ? new Error(`Port ${port} on ${host} is already in use: choose another one for the sandbox.`) : error,
      )
    })
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
  })
}
