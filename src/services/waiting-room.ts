import type { Bus, HintName } from '../cache/bus.js'

type ChangeHint = Extract<HintName, 'message.changed' | 'phone_number.changed'>

/** How often a waiter looks by itself, in case the hint was lost between replicas. */
const LOOK_MS = 1_000

/**
 * Waits until `look` answers something, looking again whenever the row is said to have changed, or until somebody
 * brings the row itself. Undefined when the time is over or the process stops.
 */
export class WaitingRoom {
  private readonly waiters = new Map<string, Set<(brought?: unknown) => void>>()
  private closed = false
  private armed = 0

  constructor(bus: Bus) {
    bus.on('message.changed', ({ id }) => this.wake('message.changed', id))
    bus.on('phone_number.changed', ({ id }) => this.wake('phone_number.changed', id))
  }

  /** How many wait. */
  get size(): number {
    return this.armed
  }

  async until<T>(hint: ChangeHint, id: number, ms: number, look: () => Promise<T | undefined>): Promise<T | undefined> {
    const end = Date.now() + ms
    for (;;) {
      const changed = this.nextChange(hint, id, Math.min(LOOK_MS, Math.max(end - Date.now(), 0)))
      const found = await look()
      if (found !== undefined || this.closed || Date.now() >= end) {
        changed.cancel()
        return found
      }
      const brought = await changed.promise
      if (brought !== undefined) return brought as T
    }
  }

  /** Hands what the waiters would look for to them; `row` must be what they would find. */
  bring(hint: ChangeHint, id: number, row: object): void {
    for (const wake of this.waiters.get(`${hint} ${id}`) ?? []) wake(row)
  }

  /** Sends everybody home; what they waited for has not come. */
  close(): void {
    this.closed = true
    for (const waiters of this.waiters.values()) for (const wake of waiters) wake()
  }

  /** Armed before looking, so that a change between the look and the wait is not missed. */
  private nextChange(hint: ChangeHint, id: number, ms: number) {
    const key = `${hint} ${id}`
    let cancel: (brought?: unknown) => void = () => {}
    const promise = new Promise<unknown>((resolve) => {
      const timer = setTimeout(() => cancel(), ms)
      this.armed++
      cancel = (brought) => {
        clearTimeout(timer)
        const waiters = this.waiters.get(key)
        if (waiters?.delete(cancel)) this.armed--
        if (waiters?.size === 0) this.waiters.delete(key)
        resolve(brought)
      }
      const waiters = this.waiters.get(key) ?? new Set()
      this.waiters.set(key, waiters.add(cancel))
    })
    return { promise, cancel: () => cancel() }
  }

  private wake(hint: ChangeHint, id: number) {
    for (const wake of this.waiters.get(`${hint} ${id}`) ?? []) wake()
  }
}
