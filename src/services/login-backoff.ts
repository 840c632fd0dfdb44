import { createHmac } from 'node:crypto'
import { Semaphore } from '../clients/semaphore.js'
import type { Database, Queryable } from '../db/database.js'
import * as loginTries from '../db/login-tries.js'
import type { LoginTries } from '../db/login-tries.js'
import { AppError } from '../errors.js'
import type { Clock } from './clock.js'

/** After `free` failures each further one doubles the wait, up to `max_seconds`; one failure melts in `melts_in_seconds`. */
interface Rule {
  free: number
  max_seconds: number
  melts_in_seconds: number
}

const RULES = {
  /** One e-mail address from one address: somebody guesses, or forgot. */
  pair: { free: 5, max_seconds: 900, melts_in_seconds: 600 },
  /** One e-mail address from everywhere: many guess together. */
  email: { free: 50, max_seconds: 60, melts_in_seconds: 360 },
  /** One address, all e-mail addresses. A mobile network puts thousands of people behind one, so it may fail often. */
  address: { free: 500, max_seconds: 60, melts_in_seconds: 1 },
} satisfies Record<string, Rule>

/** Somebody who logged in from there lately is not kept out by what others do to the same e-mail address elsewhere. */
const TRUSTED_DAYS = 90
const KEPT_DAYS = 7
const DAY_MS = 86_400_000

export interface LoginTry {
  email: string
  address: string
}

/**
 * Slows down guessing of passwords. Kept in the database, so that replicas agree and a restart forgets nothing; no wait
 * is longer than a quarter of an hour, and tries during a wait do not make it longer. Knows nothing of who is a user.
 */
export class LoginBackoff {
  /** A crowd that logs in takes two connections to the database, and leaves the others to those who send. */
  private readonly turns = new Semaphore(2)

  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly secret: string,
  ) {}

  /** Counts a try before the password is looked at, or many at once would all be free. Throws `rate_limited`. */
  async begin(one: LoginTry): Promise<void> {
    await this.inTurn(async (tx, now) => {
      const [pair, email, address] = await this.lock(tx, one, now)
      const trusted = pair.trusted_until !== null && pair.trusted_until > now
      const wait = trusted ? waitOf([pair], now) : waitOf([pair, email, address], now)
      if (wait > 0) throw tooMany(wait)
      const counted = [countedOnce(pair, RULES.pair, now), countedOnce(address, RULES.address, now)]
      if (!trusted) counted.push(countedOnce(email, RULES.email, now))
      await loginTries.save(tx, counted)
    })
  }

  /** Takes back what `begin` counted, and remembers that this address is one of the owner's. */
  async succeed(one: LoginTry): Promise<void> {
    await this.inTurn(async (tx, now) => {
      const [pair, ...others] = await this.lock(tx, one, now)
      const trusted_until = new Date(now.getTime() + TRUSTED_DAYS * DAY_MS)
      const forgiven = others.map((row) => ({ ...row, failures: Math.max(0, row.failures - 1), blocked_until: null }))
      await loginTries.save(tx, [
        { ...pair, failures: 0, last_at: now, blocked_until: null, trusted_until },
        ...forgiven,
      ])
    })
  }

  async prune(): Promise<void> {
    await loginTries.deleteOld(this.db, KEPT_DAYS, this.clock.now())
  }

  private inTurn(work: (tx: Queryable, now: Date) => Promise<void>): Promise<void> {
    return this.turns.run(() => this.db.transaction((tx) => work(tx, this.clock.now())))
  }

  private async lock(tx: Queryable, { email, address }: LoginTry, now: Date) {
    const subjects = [`pair ${email} ${address}`, `email ${email}`, `address ${address}`]
    const hashes = subjects.map((subject) => createHmac('sha256', this.secret).update(subject).digest())
    return (await loginTries.lockAll(tx, hashes, now)) as [LoginTries, LoginTries, LoginTries]
  }
}

function waitOf(rows: LoginTries[], now: Date): number {
  const ends = rows.map(({ blocked_until }) => blocked_until?.getTime() ?? 0)
  return Math.ceil((Math.max(...ends) - now.getTime()) / 1000)
}

/** Failures melt while nobody is kept waiting: a wait that made itself shorter would never reach its maximum. */
function countedOnce(row: LoginTries, rule: Rule, now: Date): LoginTries {
  const since = Math.max(row.last_at.getTime(), row.blocked_until?.getTime() ?? 0)
  const melted = Math.max(0, now.getTime() - since) / 1000 / rule.melts_in_seconds
  const failures = Math.max(0, row.failures - melted) + 1
  const beyond = Math.round(failures) - rule.free
  const seconds = beyond < 0 ? 0 : Math.min(rule.max_seconds, 2 ** beyond)
  return {
    ...row,
    failures,
    last_at: now,
    blocked_until: seconds > 0 ? new Date(now.getTime() + seconds * 1000) : null,
  }
}

const tooMany = (seconds: number) =>
  new AppError('rate_limited', `Too many failed log-ins. Try again in ${seconds} seconds.`, {
    retry_after_seconds: seconds,
  })
