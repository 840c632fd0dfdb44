import { EngineUnreachable } from '../clients/engine-http.js'
import * as connectionChecks from '../db/connection-checks.js'
import type { Database } from '../db/database.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { AppError, unavailable } from '../errors.js'
import { engineNameOf } from './engine-names.js'
import { type InstanceService, ServerNotReached, watchAfter } from './instances.js'
import { type Wish, hasFreshQr, hasPairingCode, needOf } from './link-needs.js'
import type { NumberChanges } from './number-changes.js'
import type { Placement } from './placement.js'
import type { WaitingRoom } from './waiting-room.js'

/** Longer than a create and a connect together may take. */
const LINKING_SECONDS = 90

/** Brings a number to a QR code. One at a time per number, because each connect call opens one more socket. */
export class Linking {
  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
    private readonly placement: Placement,
    private readonly changes: NumberChanges,
    private readonly waitingRoom: WaitingRoom,
  ) {}

  /** Opens a link if the number needs one, waits up to `ms` for its code, and answers the number as it is then. */
  async open(phone: PhoneNumber, ms: number, wish: Wish = {}): Promise<PhoneNumber> {
    const find = () => phoneNumbers.findOwned(this.db, phone.user_id, phone.id)
    await numberPlacement.noteAsked(this.db, phone.id)
    if (needOf(phone, wish, new Date()) !== 'nothing') await this.openOnce(phone, wish)
    const isReady = wish.pairing_number === undefined ? hasFreshQr : hasPairingCode
    const shown = await this.waitingRoom.until('phone_number.changed', phone.id, ms, async () => {
      const now = await find()
      if (!now) return phone // it is gone, and no code will come
      return isReady(now) || now.status === 'connected' ? now : undefined
    })
    return shown ?? (await find()) ?? phone
  }

  /**
   * Creates the number's instance; a server that was certainly not reached has done nothing, so the next one is asked.
   * Throws `unavailable` or `no_capacity`: then it is not known whether there is an instance.
   */
  async bringToLife(phone: PhoneNumber): Promise<void> {
    for (const tried = [phone.server_instance]; ; tried.push(phone.server_instance)) {
      try {
        await this.instances.create(phone)
        await this.refuseOvertaken(phone)
        return await connectionChecks.begin(this.db, phone.id, this.instances.fingerprint(phone))
      } catch (err) {
        if (!(err instanceof ServerNotReached)) throw err
        await this.placement.noteUnreachable(phone.server_instance)
        const next = await this.db.transaction(async (tx) => {
          const chosen = await this.placement.choose(tx, tried)
          await numberPlacement.moveToServer(tx, phone.id, chosen.name)
          return chosen
        })
        phone.server_instance = next.name
      }
    }
  }

  /** Whoever parked or deleted the number meanwhile found nothing to remove yet. */
  private async refuseOvertaken(phone: PhoneNumber): Promise<void> {
    const [now] = await numberPlacement.findByInstances(this.db, [phone.instance_name])
    if (now && !now.deleted && !now.parked && now.engine_generation === phone.engine_generation) return
    await instanceRemovals.insert(this.db, engineNameOf(phone), phone.server_instance)
    throw new AppError('conflict', 'Somebody else has unlinked or deleted this phone number meanwhile.')
  }

  private async openOnce(phone: PhoneNumber, wish: Wish): Promise<void> {
    if (!(await numberPlacement.claimLinking(this.db, phone.id, LINKING_SECONDS))) return
    try {
      // Somebody may have opened it between our look and our claim.
      const now = await phoneNumbers.findOwned(this.db, phone.user_id, phone.id)
      const need = now ? needOf(now, wish, new Date()) : 'nothing'
      if (!now || need === 'nothing') return
      // The phone may have scanned since then: what is linked now is not thrown away.
      const when = (locked: PhoneNumber) =>
        locked.engine_generation === now.engine_generation && needOf(locked, wish, new Date()) === need
      if (need === 'new_instance' && !(await this.changes.park(now.id, null, { when }))) return
      await this.openSocket(need === 'new_instance' ? { ...now, parked_at: new Date() } : now, wish)
    } finally {
      await numberPlacement.releaseLinking(this.db, phone.id)
    }
  }

  private async openSocket(phone: PhoneNumber, wish: Wish): Promise<void> {
    const placed = phone.parked_at ? await this.revive(phone) : await this.ensure(phone)
    if (!placed) return
    await numberPlacement.setPairingNumber(this.db, placed.id, wish.pairing_number ?? null)
    await numberPlacement.noteOpening(this.db, placed.id, placed.engine_generation)
    const qr = await this.instances.connect(placed, wish.pairing_number).catch(async (err: unknown) => {
      if (isNotBegun(err)) await numberPlacement.noteNotOpened(this.db, placed)
      throw err
    })
    if (qr) await this.changes.apply(placed, { kind: 'qr', ...qr })
  }

  /** An instance that is to be there; undefined when it needs no socket after all. */
  private async ensure(phone: PhoneNumber): Promise<PhoneNumber | undefined> {
    const state = await this.instances.stateOf(phone)
    if (state === 'open') {
      await this.changes.apply(phone, { kind: 'state', state: 'open', reason: null, phone_number: null })
      return undefined
    }
    if (state === 'connecting') return undefined
    if (state !== undefined) return phone
    const stored = await this.instances.listStored(phone.server_instance).catch((err: unknown) => {
      throw unavailable('The WhatsApp engine cannot be reached. Try again in a minute.', err)
    })
    if (stored.has(engineNameOf(phone)))
      throw unavailable('The WhatsApp engine is still starting. Try again in a minute.')
    // The engine lost it; what it may still have of the old one must not come back under the same name.
    await this.changes.park(phone.id, null)
    return this.revive(phone)
  }

  /** A new life for a parked number, on whichever server has room now. */
  private async revive(phone: PhoneNumber): Promise<PhoneNumber> {
    const revived = await this.db.transaction(async (tx) => {
      const now = await phoneNumbers.lock(tx, phone.id)
      if (!now?.parked_at) throw new AppError('conflict', 'Somebody else is linking this number. Try again.')
      const server = await this.placement.choose(tx)
      await numberPlacement.revive(tx, phone.id, server.name)
      return { ...now, server_instance: server.name, parked_at: null, status: 'created' as const, status_reason: null }
    })
    try {
      await this.bringToLife(revived)
    } catch (err) {
      const when = ({ engine_generation }: PhoneNumber) => engine_generation === revived.engine_generation
      await this.changes.park(phone.id, null, { when, watch_seconds: watchAfter(err) })
      throw err
    }
    return revived
  }
}

/** The engine was not reached, so that the next request may try again at once. */
const isNotBegun = (err: unknown) =>
  err instanceof AppError && err.cause instanceof EngineUnreachable && !err.cause.written
