import { Semaphore, Semaphores } from '../clients/semaphore.js'
import { AppError, unavailable } from '../errors.js'

/** How many at a time: of all users, of one, and of one in line before it is refused. */
export interface ShareLimits {
  all: number
  per_user: number
  waiting_per_user: number
}

/** As many may stand in line in all, for each one who may go at a time. */
const LINE_PER_PLACE = 16

/** Lets users do what is slow or large a few at a time each, so that one of them cannot take all there is. */
export class Shares {
  private readonly all: Semaphore
  private readonly users: Semaphores<number>
  private readonly wanted = new Map<number, number>()
  private inAll = 0

  constructor(private readonly limits: ShareLimits) {
    this.all = new Semaphore(limits.all)
    this.users = new Semaphores(limits.per_user)
  }

  /** Throws `rate_limited` when the user has too many in line already, `unavailable` when everybody together has. */
  async run<T>(userId: number, work: () => Promise<T>): Promise<T> {
    const { all, per_user, waiting_per_user } = this.limits
    const own = this.wanted.get(userId) ?? 0
    if (own >= per_user + waiting_per_user)
      throw new AppError('rate_limited', 'Too many requests like this at once. Let some of them end first.', {
        retry_after_seconds: 5,
      })
    if (this.inAll >= all * (1 + LINE_PER_PLACE)) throw unavailable('The server is busy. Try again in a moment.')
    this.count(userId, 1)
    try {
      return await this.users.run(userId, () => this.all.run(work))
    } finally {
      this.count(userId, -1)
    }
  }

  private count(userId: number, step: 1 | -1) {
    this.inAll += step
    const own = (this.wanted.get(userId) ?? 0) + step
    if (own > 0) this.wanted.set(userId, own)
    else this.wanted.delete(userId)
  }
}
