import { randomBytes } from 'node:crypto'
import type { Database } from '../db/database.js'
import * as linkPages from '../db/link-pages.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { notFound } from '../errors.js'
import type { Linking } from './linking.js'
import type { NumberConnections } from './number-connections.js'
import { ownedNumber } from './owned-number.js'
import { sha256 } from './sha256.js'

const PAIRING_WAIT_SECONDS = 15

/** Pages on which somebody without a key links one number: unguessable, expiring, one at a time. */
export class LinkPages {
  constructor(
    private readonly db: Database,
    private readonly linking: Linking,
    private readonly connections: NumberConnections,
    private readonly options: { public_url: string },
  ) {}

  /** Ends the page before. The address is shown once: only a hash of it is kept. */
  async create(user: User, id: number, hours: number): Promise<{ url: string; expires_at: Date }> {
    await ownedNumber(this.db, user.id, id)
    const token = randomBytes(32).toString('base64url')
    const expires_at = await linkPages.replace(this.db, id, sha256(token), hours)
    return { url: `${this.options.public_url}/link/${token}`, expires_at }
  }

  async revoke(user: User, id: number): Promise<void> {
    await ownedNumber(this.db, user.id, id)
    if (!(await linkPages.remove(this.db, id))) throw notFound('link page')
  }

  /** Whose page this is; throws `not_found` for one that is unknown, replaced, revoked or expired. */
  async find(token: string): Promise<PhoneNumber> {
    const phone = await linkPages.findNumber(this.db, sha256(token))
    if (!phone) throw notFound('link page')
    return phone
  }

  /** How the number is now; looking opens the link when there is none. */
  async status(token: string): Promise<PhoneNumber> {
    const phone = await this.find(token)
    return this.linking.open(phone, 0, wishOf(phone))
  }

  async pair(token: string, phoneNumber: string): Promise<PhoneNumber> {
    return this.connections.pair(await this.find(token), phoneNumber, PAIRING_WAIT_SECONDS)
  }
}

/** Whoever has asked for a pairing code goes on with it until the link is opened anew. */
const wishOf = ({ pairing_number, parked_at }: PhoneNumber) =>
  pairing_number === null || parked_at ? {} : { pairing_number }
