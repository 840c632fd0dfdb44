import type { Queryable } from '../db/database.js'
import * as users from '../db/users.js'
import { invalidRequest } from '../errors.js'
import { isTimeZone } from './days.js'

/** Throws `invalid_request` unless Node.js and PostgreSQL both know the name: days are reckoned in either. */
export async function requireTimeZone(db: Queryable, name: string): Promise<void> {
  if (isTimeZone(name) && (await users.knowsTimeZone(db, name))) return
  throw invalidRequest(`time_zone: ${name.slice(0, 60)} is not in the IANA list; write one such as Asia/Jakarta.`)
}
