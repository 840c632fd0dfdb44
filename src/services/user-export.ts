import { Readable } from 'node:stream'
import type { Database } from '../db/database.js'
import * as userData from '../db/user-data.js'
import type { User } from '../db/users.js'
import { AppError } from '../errors.js'

const PAGE = 500

/** Everything a user has, as one JSON text, a page at a time: neither memory nor the database holds it all at once. */
export class UserExport {
  /** One at a time per user: it reads a lot. */
  private readonly running = new Set<number>()

  constructor(private readonly db: Database) {}

  /** Throws `conflict` while another one runs. */
  open(user: User): Readable {
    if (this.running.has(user.id))
      throw new AppError('conflict', 'An export of your data is running. Wait until it ends.')
    this.running.add(user.id)
    return Readable.from(this.pieces(user)).once('close', () => this.running.delete(user.id))
  }

  private async *pieces(user: User) {
    yield `{"success":true,"exported_at":${JSON.stringify(new Date())},"user":${JSON.stringify(own(user))}`
    for (const section of userData.sections) {
      yield `,\n"${section}":[`
      yield* this.rows(user.id, section)
      yield ']'
    }
    yield '}\n'
  }

  private async *rows(userId: number, section: userData.Section) {
    for (let after = Number.MIN_SAFE_INTEGER, first = true; ; first = false) {
      const rows = await userData.page(this.db, section, userId, after, PAGE)
      if (rows.length > 0) yield `${first ? '' : ','}\n${rows.map(({ line }) => line).join(',\n')}`
      if (rows.length < PAGE) return
      after = rows.at(-1)!.key
    }
  }
}

const own = ({ id, email, full_name, company_name, plan_type, status, time_zone, created_at }: User) => ({
  id,
  email,
  full_name,
  company_name,
  plan_type,
  status,
  time_zone,
  created_at,
})
