import type { Queryable } from '../db/database.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { notFound } from '../errors.js'

/** Throws `not_found` for a number that is unknown, deleted, or of another user. */
export async function ownedNumber(db: Queryable, userId: number, id: number): Promise<PhoneNumber> {
  const phone = await phoneNumbers.findOwned(db, userId, id)
  if (!phone) throw notFound('phone number')
  return phone
}
