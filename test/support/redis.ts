import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { freePorts } from '../../src/embedded/free-ports.js'
import { eventually } from './test-app.js'
import { Redis } from 'ioredis'

/** Tests that need a real Redis skip themselves where none is installed; .ci/run installs it. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0

export interface TestRedis {
  url: string
  flush(): Promise<void>
  publish(channel: string, text: string): Promise<void>
  stop(): Promise<void>
}

/** A Redis of this file's own that keeps nothing; on a port of a test's choice where it is to come back. */
export async function startRedis(port?: number): Promise<TestRedis> {
  port ??= await freePorts(1)
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const url = `redis://127.0.0.1:${port}`
  const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  await eventually(async () => (await client.ping()) === 'PONG')
  return {
    url,
    flush: async () => void (await client.flushall()),
    publish: async (channel, text) => void (await client.publish(channel, text)),
    stop: async () => {
      client.disconnect()
      await ended(child)
    },
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}
