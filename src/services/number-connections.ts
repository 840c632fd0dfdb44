import { EngineUnreachable } from '../clients/engine-http.js'
import type { Database } from '../db/database.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { AppError, invalidRequest, unavailable } from '../errors.js'
import type { InstanceRemovals } from './instance-removals.js'
import { engineNameOf } from './engine-names.js'
import { type InstanceService } from './instances.js'
import { isAlive } from './link-needs.js'
import type { Linking } from './linking.js'
import type { NumberChanges } from './number-changes.js'
import { ownedNumber } from './owned-number.js'
import { RecipientInvalid, parseRecipient } from './recipients.js'

const CONNECTING_SECONDS = 60

/** What the owner of a number can do to its connection. */
export class NumberConnections {
  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
    private readonly linking: Linking,
    private readonly changes: NumberChanges,
    private readonly removals: InstanceRemovals,
    private readonly options: { default_country: string },
  ) {}

  /** The number with a QR code, once one can be had; a number that needs a new link gets one opened. */
  async qr(user: User, id: number, waitSeconds: number): Promise<PhoneNumber> {
    return this.linking.open(await ownedNumber(this.db, user.id, id), waitSeconds * 1000)
  }

  /** The number with a code to be typed on the phone. Throws when it is linked, or when no code came in time. */
  async pairingCode(user: User, id: number, phoneNumber: string, waitSeconds: number): Promise<PhoneNumber> {
    return this.pair(await ownedNumber(this.db, user.id, id), phoneNumber, waitSeconds)
  }

  async pair(phone: PhoneNumber, phoneNumber: string, waitSeconds: number): Promise<PhoneNumber> {
    const pairing_number = this.digitsOf(phoneNumber)
    const shown = await this.linking.open(phone, waitSeconds * 1000, { pairing_number })
    if (shown.status === 'connected') throw new AppError('conflict', 'This phone number is linked already.')
    if (shown.pairing_code === null || shown.pairing_number !== pairing_number)
      throw unavailable('The engine gave no pairing code in time. Try again, or scan the QR code.')
    return shown
  }

  /** Brings a lost connection back where that can be done without a scan; else as `qr`. */
  async reconnect(user: User, id: number): Promise<PhoneNumber> {
    const phone = await ownedNumber(this.db, user.id, id)
    return isAlive(phone) ? this.revive(phone, false) : this.linking.open(phone, 5_000)
  }

  /** Closes the socket and opens it again, also of a number that looks well. */
  async restart(user: User, id: number): Promise<PhoneNumber> {
    const phone = await ownedNumber(this.db, user.id, id)
    if (phone.parked_at || !isAlive(phone))
      throw new AppError(
        'conflict',
        'This phone number is not linked, so there is nothing to restart. Ask for its QR code.',
      )
    return this.revive(phone, true)
  }

  /**
   * Unlinks the number and keeps everything else. The engine's own log-out would leave an instance that never receives
   * again, so it is removed, and the next link gets a new one.
   */
  async logout(user: User, id: number): Promise<PhoneNumber> {
    const phone = await ownedNumber(this.db, user.id, id)
    await this.changes.park(id, 'logged_out')
    if (!phone.parked_at) await this.removals.hurry(engineNameOf(phone), phone.server_instance)
    return ownedNumber(this.db, user.id, id)
  }

  private async revive(phone: PhoneNumber, evenIfOpen: boolean): Promise<PhoneNumber> {
    try {
      const state = await this.instances.stateOf(phone)
      if (state === 'open' && !evenIfOpen)
        await this.changes.apply(phone, { kind: 'state', state: 'open', reason: null, phone_number: null })
      else if (state === 'open') await this.instances.restart(phone)
      else if (state === 'close') await this.connectOnce(phone)
    } catch (err) {
      if (err instanceof EngineUnreachable)
        throw unavailable('The WhatsApp engine cannot be reached. Try again in a minute.', err)
      throw err
    }
    return (await phoneNumbers.findOwned(this.db, phone.user_id, phone.id)) ?? phone
  }

  /** Under the lock of linking, as everybody who opens a socket: two of them would fight over the session. */
  private async connectOnce({ id, user_id }: PhoneNumber): Promise<void> {
    if (!(await numberPlacement.claimLinking(this.db, id, CONNECTING_SECONDS))) return
    try {
      const now = await phoneNumbers.findOwned(this.db, user_id, id)
      if (now?.last_event_at && isQuiet(now)) await this.instances.connect(now)
    } finally {
      await numberPlacement.releaseLinking(this.db, id)
    }
  }

  private digitsOf(text: string): string {
    try {
      const { recipient, kind } = parseRecipient(text, this.options.default_country)
      if (kind === 'person') return recipient
    } catch (err) {
      if (!(err instanceof RecipientInvalid)) throw err
    }
    const message = 'must be the number of the phone to link, such as 081234567890 or +6281234567890'
    throw invalidRequest(`phone_number: ${message}.`, [{ path: 'phone_number', message }])
  }
}

/** It has a session; one that has ended must not be opened again, or it would connect and receive nothing. */

/** An engine that is opening sockets by itself says so all the time; one more from us would multiply them. */
const isQuiet = (phone: PhoneNumber) => phone.last_event_at!.getTime() < Date.now() - 30_000
