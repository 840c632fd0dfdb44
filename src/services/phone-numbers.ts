import { randomBytes } from 'node:crypto'
import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as gaps from '../db/gaps.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as lanes from '../db/lanes.js'
import * as queue from '../db/message-queue.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as usage from '../db/usage.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import * as webhooks from '../db/webhooks.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import { newSecret } from '../webhooks/sign.js'
import { type TargetGuard, TargetRefused } from '../webhooks/target-guard.js'
import { refuseTooMany } from './webhooks.js'
import type { InstanceRemovals } from './instance-removals.js'
import { engineNameOf } from './engine-names.js'
import { watchAfter } from './instances.js'
import type { Linking } from './linking.js'
import type { Placement } from './placement.js'
import { DEFAULT_EVENT_TYPES } from './public-events.js'
import { NUMBER_DELETED, endWaiting } from './queue.js'
import { refuseExpired, refuseSuspended } from './user-standing.js'

export interface NewNumber {
  display_name: string
  webhook_url?: string
  metadata: Record<string, unknown>
  receive_groups: boolean
}

/** More than any queue holds: a deletion leaves nothing behind. */
const MAX_QUEUE = 10_000_000
/** A long queue is ended in parts before the deletion: in one, its events would fill the memory. */
const QUEUE_BATCH = 500

/** How long a create waits for the QR code before it answers without one. */
const QR_WAIT_MS = 6_000
const CREATING_SECONDS = 90

export class PhoneNumberService {
  constructor(
    private readonly db: Database,
    private readonly removals: InstanceRemovals,
    private readonly linking: Linking,
    private readonly placement: Placement,
    private readonly guard: TargetGuard,
    private readonly bus: Bus,
  ) {}

  /** The number, its QR code when one came in time, and the only sight of the webhook's secret. */
  async create(user: User, input: NewNumber): Promise<{ phone: PhoneNumber; webhook_secret?: string }> {
    const url = input.webhook_url === undefined ? undefined : await this.checkUrl(input.webhook_url)
    const webhook_secret = url === undefined ? undefined : newSecret()
    const phone = await this.reserve(user, input, url, webhook_secret)
    try {
      await this.linking.bringToLife(phone)
    } catch (err) {
      await this.undo(phone, watchAfter(err))
      throw err
    }
    await numberPlacement.releaseLinking(this.db, phone.id)
    // The number exists now: trouble with its first QR code is no reason to say otherwise, it can be fetched later.
    const linked = await this.linking.open(phone, QR_WAIT_MS).catch((err: unknown) => {
      if (err instanceof AppError) return phone
      throw err
    })
    return { phone: linked, webhook_secret }
  }

  list(user: User, page: phoneNumbers.ListPage): Promise<PhoneNumber[]> {
    return phoneNumbers.listOwned(this.db, user.id, page)
  }

  /** Gone for its owner at once; the engine's side follows until the engine says so itself. */
  async delete(user: Pick<User, 'id'>, id: number, { hurry = true } = {}): Promise<void> {
    await this.endLongQueue(user, id)
    const { phone, hooks } = await this.db.transaction(async (tx) => {
      await usage.lockAll(tx, [user.id])
      const owned = await phoneNumbers.findOwned(tx, user.id, id)
      const locked = owned && (await phoneNumbers.lock(tx, id))
      if (!locked) throw notFound('phone number')
      await lanes.lock(tx, [id])
      await lanes.close(tx, id)
      await phoneNumbers.markDeleted(tx, id)
      const deleted = await webhooks.deleteOfNumber(tx, id)
      await endWaiting(tx, await queue.listQueued(tx, id, MAX_QUEUE), NUMBER_DELETED)
      await gaps.forget(tx, id)
      if (!locked.parked_at) await instanceRemovals.insert(tx, engineNameOf(locked), locked.server_instance)
      return { phone: locked, hooks: deleted }
    })
    for (const hook of hooks) this.bus.tell('webhook.changed', { id: hook })
    // Best effort for the hurried; the remover goes on until the engine answers 404.
    if (hurry && !phone.parked_at) await this.removals.hurry(engineNameOf(phone), phone.server_instance)
  }

  /** Until what is left can be ended together with the number. */
  private async endLongQueue(user: Pick<User, 'id'>, id: number): Promise<void> {
    if (!(await phoneNumbers.findOwned(this.db, user.id, id))) throw notFound('phone number')
    for (;;) {
      const waiting = await queue.listQueued(this.db, id, QUEUE_BATCH)
      if (waiting.length < QUEUE_BATCH) return
      await this.db.transaction((tx) => endWaiting(tx, waiting, NUMBER_DELETED))
    }
  }

  private async checkUrl(text: string): Promise<string> {
    try {
      return (await this.guard.checkUrl(text)).href
    } catch (err) {
      if (!(err instanceof TargetRefused)) throw err
      throw invalidRequest(err.message, [{ path: 'webhook_url', message: err.message }])
    }
  }

  /** Takes a place under the plan's limit and on a server; two at once queue up behind the user's row. */
  private reserve(user: User, input: NewNumber, url?: string, secret?: string): Promise<PhoneNumber> {
    return this.db.transaction(async (tx) => {
      const owner = await users.lock(tx, user.id)
      if (!owner) throw notFound('user')
      refuseSuspended(owner)
      refuseExpired(owner)
      if ((await phoneNumbers.countOwned(tx, owner.id)) >= owner.max_phone_numbers) throw planLimitReached(owner)
      const server = await this.placement.choose(tx)
      const phone = await phoneNumbers.insert(tx, {
        user_id: owner.id,
        server_instance: server.name,
        instance_name: `user_${owner.id}_${Date.now()}_${randomBytes(4).toString('hex')}`,
        token: `wst_${randomBytes(24).toString('base64url')}`,
        display_name: input.display_name,
        metadata: input.metadata,
        receive_groups: input.receive_groups,
      })
      // Nobody else is to look for its instance before it has been made.
      await numberPlacement.claimLinking(tx, phone.id, CREATING_SECONDS)
      if (url === undefined || secret === undefined) return phone
      await refuseTooMany(tx, owner.id)
      const event_types = [...DEFAULT_EVENT_TYPES]
      await webhooks.insert(tx, { user_id: owner.id, phone_number_id: phone.id, url, secret, event_types })
      return { ...phone, webhook_url: url }
    })
  }

  /** The engine may have created it after all, so its removal is written down before the number is forgotten. */
  private async undo(phone: PhoneNumber, watchSeconds: number | null): Promise<void> {
    await this.db.transaction(async (tx) => {
      await instanceRemovals.insert(tx, engineNameOf(phone), phone.server_instance, watchSeconds)
      await phoneNumbers.remove(tx, phone.id)
    })
  }
}

const planLimitReached = (user: User) =>
  new AppError(
    'plan_limit_reached',
    `Your plan allows ${user.max_phone_numbers} phone numbers. Delete one, or ask for a larger plan.`,
  )
