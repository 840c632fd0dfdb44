import { Redis as Connection } from 'ioredis'
import type { Logger } from '../logger.js'

/**
 * The optional accelerator. Nothing here is awaited by a request without a time limit, and every failure is only a
 * missing hint or a fresh rate window.
 */
export class Redis {
  readonly commands: Connection
  private readonly subscriber: Connection
  private complained = false

  constructor(url: string, log: Logger) {
    const options = {
      enableOfflineQueue: false, // a command while Redis is away fails at once instead of holding its request
      commandTimeout: 500,
      connectTimeout: 2_000,
      maxRetriesPerRequest: 0,
      retryStrategy: (times: number) => Math.min(times * 200, 3_000),
    }
    this.commands = new Connection(url, options)
    this.subscriber = new Connection(url, { ...options, commandTimeout: undefined, autoResubscribe: true })
    for (const connection of [this.commands, this.subscriber]) {
      connection.on('error', (err: Error) => this.complain(log, err))
      connection.on('ready', () => (this.complained = false))
    }
  }

  get ready(): boolean {
    return this.commands.status === 'ready'
  }

  onReady(listener: () => void): void {
    this.commands.on('ready', listener)
  }

  publish(channel: string, text: string): void {
    if (this.ready) this.commands.publish(channel, text).catch(() => {})
  }

  onMessage(channel: string, listener: (text: string) => void): void {
    this.subscriber.on('message', (from, text) => {
      if (from === channel) listener(text)
    })
    this.subscriber.on('ready', () => void this.subscriber.subscribe(channel).catch(() => {}))
  }

  close(): void {
    this.commands.disconnect()
    this.subscriber.disconnect()
  }

  /** Once per outage: the client retries several times a second. */
  private complain(log: Logger, err: Error) {
    if (!this.complained) log.warn({ err }, 'Redis is away; going on without it')
    this.complained = true
  }
}
