import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Redis } from './redis.js'

/** What replicas tell each other. Every message is a hint: losing one costs latency, never data. */
interface Hints {
  /** Forget what is cached under this SHA-256 of an API key, or everything of this user. */
  'auth.changed': { key_hash?: string; user_id?: number }
  /** A number got a new QR code or status. */
  'phone_number.changed': { id: number }
  /** A message reached a state its caller may be waiting for. */
  'message.changed': { id: number }
  /** Deliveries became due. */
  'deliveries.due': Record<string, never>
  /** A webhook got another address or secret, or was disabled. */
  'webhook.changed': { id: number }
  /** Lanes became due. */
  'lanes.due': Record<string, never>
}

export type HintName = keyof Hints

const CHANNEL = 'wsa:hints'

/** Carries hints within this process and, with Redis, to the others. */
export class Bus {
  private readonly emitter = new EventEmitter().setMaxListeners(0)
  private readonly origin = randomUUID()

  constructor(private readonly redis?: Redis) {
    redis?.onMessage(CHANNEL, (text) => this.receive(text))
  }

  tell<Name extends HintName>(name: Name, hint: Hints[Name]): void {
    this.emitter.emit(name, hint)
    this.redis?.publish(CHANNEL, JSON.stringify({ from: this.origin, name, hint }))
  }

  on<Name extends HintName>(name: Name, listener: (hint: Hints[Name]) => void): void {
    this.emitter.on(name, listener)
  }

  /** Whoever shares the Redis can say anything there; what is no hint of ours is left alone. */
  private receive(text: string) {
    try {
      const { from, name, hint } = JSON.parse(text) as { from: string; name: HintName; hint: unknown }
      if (from !== this.origin && this.emitter.listenerCount(name) > 0) this.emitter.emit(name, hint)
    } catch (err) {
      if (!(err instanceof SyntaxError || err instanceof TypeError)) throw err
    }
  }
}
