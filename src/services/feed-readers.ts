import { AppError } from '../errors.js'

/** Who is reading for longer than a moment: a few at a time per user, as each keeps looking. */
export class Readers {
  private readonly open = new Map<number, number>()

  constructor(
    private readonly most: number,
    private readonly what: string,
  ) {}

  of(userId: number): number {
    return this.open.get(userId) ?? 0
  }

  /** Throws `rate_limited`; answers what is to be called, once, at the end. */
  enter(userId: number): () => void {
    if (this.of(userId) >= this.most) throw this.tooMany()
    this.open.set(userId, this.of(userId) + 1)
    return () => {
      const left = this.of(userId) - 1
      if (left > 0) this.open.set(userId, left)
      else this.open.delete(userId)
    }
  }

  async during<T>(userId: number, read: () => Promise<T>): Promise<T> {
    const leave = this.enter(userId)
    try {
      return await read()
    } finally {
      leave()
    }
  }

  private tooMany(): AppError {
    const message = `There are ${this.most} ${this.what} open already, the most a user may have.`
    return new AppError('rate_limited', message, { retry_after_seconds: 60 })
  }
}
