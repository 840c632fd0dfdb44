import { randomBytes } from 'node:crypto'
import type { Database, Queryable, Transaction } from '../db/database.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import * as instanceRemovals from '../db/instance-removals.js'
import * as numberPlacement from '../db/number-placement.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import * as webhooks from '../db/webhooks.js'
import { AppError, notFound, unavailable } from '../errors.js'
import { newSecret } from '../webhooks/sign.js'
import type { TargetGuard } from '../webhooks/target-guard.js'
import { engineNameOf } from './engine-names.js'
import { type Idempotency, namedBy, recall, remember } from './idempotency.js'
import { watchAfter } from './instances.js'
import type { Linking } from './linking.js'
import type { Placement } from './placement.js'
import { DEFAULT_EVENT_TYPES } from './public-events.js'
import { refuseExpired, refuseSuspended } from './user-standing.js'
import type { WaitingRoom } from './waiting-room.js'
import { acceptedUrl, refuseTooMany } from './webhook-checks.js'

export interface NewNumber {
  display_name: string
  webhook_url?: string
  metadata: Record<string, unknown>
  receive_groups: boolean
}

export interface CreatedNumber {
  phone: PhoneNumber
  /** Shown this once: no repetition of the call has it. */
  webhook_secret?: string
}

interface Reservation extends CreatedNumber {
  /** An earlier call with the same key has made it, or is still at it. */
  repeated: boolean
}

/** How long a create waits for the QR code before it answers without one. */
const QR_WAIT_MS = 6_000
const CREATING_SECONDS = 90
/** How long a repeated call waits for the first one to make the number. */
const JOIN_WAIT_MS = 15_000

/** Makes phone numbers: a place under the plan, an instance on a server, a first QR code. */
export class NumberCreation {
  constructor(
    private readonly db: Database,
    private readonly linking: Linking,
    private readonly placement: Placement,
    private readonly guard: TargetGuard,
    private readonly waitingRoom: WaitingRoom,
  ) {}

  /** The number, with its QR code when one came in time. A repeated `key` answers the number of the first call. */
  async create(user: User, input: NewNumber, key?: string): Promise<CreatedNumber> {
    const idempotency = namedBy(key, 'create a phone number', input)
    const { webhook_url } = input
    const url = webhook_url === undefined ? undefined : await acceptedUrl(this.guard, webhook_url, 'webhook_url')
    const { phone, webhook_secret, repeated } = await this.reserve(user, { ...input, webhook_url: url }, idempotency)
    if (repeated) return { phone: await this.join(phone) }
    try {
      await this.linking.bringToLife(phone)
    } catch (err) {
      await this.undo(phone, err, key)
      throw err
    }
    await numberPlacement.releaseLinking(this.db, phone.id)
    return { phone: await this.openFirst(phone), webhook_secret }
  }

  /** The number exists: trouble with its first QR code is no reason to say otherwise, it can be fetched later. */
  private openFirst(phone: PhoneNumber): Promise<PhoneNumber> {
    return this.linking.open(phone, QR_WAIT_MS).catch((err: unknown) => {
      if (err instanceof AppError) return phone
      throw err
    })
  }

  /** What a repeated call answers: the number of the first one, once it is made. */
  private async join(phone: PhoneNumber): Promise<PhoneNumber> {
    const isMade = async () => ((await numberPlacement.isBeingMade(this.db, phone.id)) ? undefined : true)
    const made = await this.waitingRoom.until('phone_number.changed', phone.id, JOIN_WAIT_MS, isMade)
    const now = made && (await phoneNumbers.findOwned(this.db, phone.user_id, phone.id))
    if (!now) throw unavailable('The first call with this Idempotency-Key has made no phone number yet. Repeat yours.')
    // Only its first link: whoever has logged out since then did not want another.
    return now.first_connected_at ? now : this.openFirst(now)
  }

  /** Takes a place under the plan's limit and on a server; two at once queue up behind the user's row. */
  private reserve(user: User, input: NewNumber, idempotency: Idempotency | undefined): Promise<Reservation> {
    return this.db.transaction(async (tx) => {
      const owner = await users.lock(tx, user.id)
      if (!owner) throw notFound('user')
      const earlier = idempotency && (await findEarlier(tx, owner, idempotency))
      if (earlier) return { phone: earlier, repeated: true }
      refuseSuspended(owner)
      refuseExpired(owner)
      if ((await phoneNumbers.countOwned(tx, owner.id)) >= owner.max_phone_numbers) throw planLimitReached(owner)
      const phone = await this.insert(tx, owner, input)
      if (idempotency) await remember(tx, owner.id, idempotency, { phone_number_id: phone.id })
      return { ...(await this.insertWebhook(tx, phone, input.webhook_url)), repeated: false }
    })
  }

  private async insert(tx: Transaction, owner: User, input: NewNumber): Promise<PhoneNumber> {
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
    return phone
  }

  private async insertWebhook(tx: Transaction, phone: PhoneNumber, url: string | undefined): Promise<CreatedNumber> {
    if (url === undefined) return { phone }
    await refuseTooMany(tx, phone.user_id)
    const secret = newSecret()
    const event_types = [...DEFAULT_EVENT_TYPES]
    await webhooks.insert(tx, { user_id: phone.user_id, phone_number_id: phone.id, url, secret, event_types })
    return { phone: { ...phone, webhook_url: url }, webhook_secret: secret }
  }

  /** The engine may have created it after all, so its removal is written down before the number is forgotten. */
  private async undo(phone: PhoneNumber, err: unknown, key: string | undefined): Promise<void> {
    await this.db.transaction(async (tx) => {
      await instanceRemovals.insert(tx, engineNameOf(phone), phone.server_instance, watchAfter(err))
      await phoneNumbers.remove(tx, phone.id)
      if (key !== undefined && !isDeleted(err)) await idempotencyKeys.giveBack(tx, [{ user_id: phone.user_id, key }])
    })
  }
}

/** Its user has deleted it while it was made: the key goes on to stand for it. */
const isDeleted = (err: unknown) => err instanceof AppError && err.code === 'conflict'

const findEarlier = (tx: Queryable, { id }: User, idempotency: Idempotency): Promise<PhoneNumber | undefined> =>
  recall(tx, id, idempotency, 'phone number', (found) => phoneNumbers.findOwned(tx, id, found.phone_number_id!))

const planLimitReached = (user: User) =>
  new AppError(
    'plan_limit_reached',
    `Your plan allows ${user.max_phone_numbers} phone numbers. Delete one, or ask for a larger plan.`,
  )
