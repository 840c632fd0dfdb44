import { type ClientRateLimitInfo, MemoryStore, type Options, type Store } from 'express-rate-limit'
import { RedisStore } from 'rate-limit-redis'
import type { Redis } from './redis.js'

/** Windows shared by all replicas through Redis; while it is away each replica counts for itself. */
export function limitStore(name: string, redis: Redis | undefined): Store {
  return redis ? new SharedStore(name, redis) : new MemoryStore()
}

class SharedStore implements Store {
  private readonly own = new MemoryStore()
  private readonly shared: RedisStore
  private options: Options | undefined

  constructor(
    readonly prefix: string,
    private readonly redis: Redis,
  ) {
    this.shared = new RedisStore({
      prefix: `wsa:rate:${prefix}:`,
      // The scripts are loaded at once, when Redis may be away still; they are loaded again when it is ready.
      sendCommand: (command: string, ...args: string[]) => redis.commands.call(command, ...args) as Promise<never>,
    })
    redis.onReady(() => this.options && void this.initShared(this.options))
  }

  init(options: Options): void {
    this.options = options
    this.own.init(options)
    void this.initShared(options)
  }

  increment(key: string): Promise<ClientRateLimitInfo> {
    return this.either((store) => store.increment(key))
  }

  decrement(key: string): Promise<void> {
    return this.either((store) => store.decrement(key))
  }

  resetKey(key: string): Promise<void> {
    return this.either((store) => store.resetKey(key))
  }

  private async initShared(options: Options) {
    await Promise.resolve(this.shared.init(options)).catch(() => {})
  }

  private async either<T>(work: (store: RedisStore | MemoryStore) => T | Promise<T>): Promise<T> {
    if (!this.redis.ready) return work(this.own)
    try {
      return await work(this.shared)
    } catch {
      return work(this.own)
    }
  }
}
