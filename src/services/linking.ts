import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as lanes from '../db/lanes.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { Fact } from './engine-events.js'
import { type InstanceService, engineNameOf } from './instances.js'
import { transition } from './number-state.js'
import type { WaitingRoom } from './waiting-room.js'

type StateFact = Extract<Fact, { kind: 'state' | 'qr' | 'qr_limit' }>

/** Longer than a create and a connect together may take. */
const LINKING_SECONDS = 60

/** Brings a number to a QR code. One at a time per number, because each connect call opens one more socket. */
export class Linking {
  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
    private readonly waitingRoom: WaitingRoom,
    private readonly bus: Bus,
  ) {}

  /** Opens a link if the number needs one, waits up to `ms` for its QR code, and answers the number as it is then. */
  async open(phone: PhoneNumber, ms: number): Promise<PhoneNumber> {
    if (needsSocket(phone) && (await phoneNumbers.claimLinking(this.db, phone.id, LINKING_SECONDS))) {
      try {
        await this.openSocket(phone)
      } finally {
        await phoneNumbers.releaseLinking(this.db, phone.id)
      }
    }
    const find = () => phoneNumbers.findOwned(this.db, phone.user_id, phone.id)
    const shown = await this.waitingRoom.until('phone_number.changed', phone.id, ms, async () => {
      const now = await find()
      return now && (hasFreshQr(now) || now.status === 'connected') ? now : undefined
    })
    return shown ?? (await find()) ?? phone
  }

  /** Applies a fact that was learned by asking instead of from an event. */
  async apply(id: number, fact: StateFact): Promise<void> {
    await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (!phone) return
      const { state, events: raised, lane } = transition(phone, fact, new Date())
      await phoneNumbers.saveEngineStates(tx, [{ id, ...state }])
      if (lane === 'block') await lanes.block(tx, [id], 'number_disconnected')
      if (lane === 'unblock') await lanes.unblock(tx, [id])
      await events.record(tx, raised)
    })
    this.bus.tell('phone_number.changed', { id })
  }

  private async openSocket(phone: PhoneNumber): Promise<void> {
    const state = await this.instances.stateOf(phone)
    if (state === 'open')
      return this.apply(phone.id, { kind: 'state', state: 'open', reason: null, phone_number: null })
    if (state === 'connecting') return
    const linkable = LOST_SESSION.has(phone.status_reason ?? '') ? await this.renew(phone, state) : phone
    if (state === undefined || linkable !== phone) await this.instances.create(linkable)
    const qr = await this.instances.connect(linkable)
    if (qr) await this.apply(phone.id, { kind: 'qr', ...qr })
  }

  /** After a log-out the instance would connect but never receive again: it gets a new life under a new name. */
  private renew(phone: PhoneNumber, state: string | undefined): Promise<PhoneNumber> {
    return this.db.transaction(async (tx) => {
      if (state !== undefined) await instanceRemovals.insert(tx, engineNameOf(phone), phone.server_instance)
      await phoneNumbers.startGeneration(tx, phone.id)
      return { ...phone, engine_generation: phone.engine_generation + 1 }
    })
  }
}

const LOST_SESSION = new Set(['logged_out', 'restricted_by_whatsapp'])

/** Numbers that are shown a QR code, or reconnect by themselves, need no further socket. */
function needsSocket(phone: PhoneNumber): boolean {
  if (phone.status === 'created') return true
  if (phone.status === 'disconnected') return phone.status_reason !== 'reconnecting'
  return phone.status === 'qr_ready' && phone.qr_expires_at!.getTime() < Date.now() - STALE_QR_MS
}

/** A code this old was not replaced: the engine has stopped trying. */
const STALE_QR_MS = 30_000

export function hasFreshQr(phone: PhoneNumber): boolean {
  return phone.qr_code !== null && phone.qr_expires_at !== null && phone.qr_expires_at.getTime() > Date.now()
}
