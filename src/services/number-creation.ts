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
import { AppError, invalidRequest, notFound, unavailable } from '../errors.js'
import { newSecret } from '../webhooks/sign.js'
import { type TargetGuard, TargetRefused } from '../webhooks/target-guard.js'
import { engineNameOf } from './engine-names.js'
import { type Idempotency, mismatch, namedBy } from './idempotency.js'
import { watchAfter } from './instances.js'
import type { Linking } from './linking.js'
import type { Placement } from './placement.js'
import { DEFAULT_EVENT_TYPES } from './public-events.js'
import { refuseExpired, refuseSuspended } from './user-standing.js'
import { refuseTooMany } from './webhooks.js'

export interface NewNumber {
  display_name: string
  webhook_url?: string
  metadata: Record<string, unknown>
  receive_groups: boolean
}

export interface CreatedNumber {
  phone: PhoneNumber
  /** Shown by no other call. */
  webhook_secret?: string
}

interface Plan extends CreatedNumber {
  /** An earlier call with the same key has made it, or is still at it. */
  repeated: boolean
}

/** How long a create waits for the QR code before it answers without one. */
const QR_WAIT_MS = 6_000
const CREATING_SECONDS = 90

/** Makes phone numbers: a place under the plan, an instance on a server, a first QR code. */
export class NumberCreation {
  constructor(
    private readonly db: Database,
    private readonly linking: Linking,
    private readonly placement: Placement,
    private readonly guard: TargetGuard,
  ) {}

  /** The number, with its QR code when one came in time. A repeated `key` answers the number of the first call. */
  async create(user: User, input: NewNumber, key?: string): Promise<CreatedNumber> {
    const idempotency = namedBy(key, 'create a phone number', input)
    const earlier = await this.findEarlier(this.db, user, idempotency)
    if (earlier) return this.join(earlier)
    const url = input.webhook_url === undefined ? undefined : await this.checkUrl(input.webhook_url)
    const { phone, webhook_secret, repeated } = await this.reserve(user, { ...input, webhook_url: url }, idempotency)
    if (repeated) return this.join({ phone, webhook_secret })
    try {
      await this.linking.bringToLife(phone)
    } catch (err) {
      await this.undo(phone, watchAfter(err), key)
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

  private async findEarlier(
    db: Queryable,
    user: User,
    idempotency: Idempotency | undefined,
  ): Promise<CreatedNumber | undefined> {
    if (!idempotency) return undefined
    const [found] = await idempotencyKeys.findEach(db, [{ user_id: user.id, key: idempotency.key }])
    if (!found) return undefined
    if (!found.body_hash.equals(idempotency.body_hash)) throw mismatch()
    const phone = await phoneNumbers.findOwned(db, user.id, found.phone_number_id!)
    if (!phone) throw deletedMeanwhile()
    const first = (await webhooks.listOwned(db, user.id, { limit: 200, phone_number_id: phone.id })).at(-1)
    return { phone, webhook_secret: first && (await webhooks.findSecrets(db, first.id)).secret }
  }

  /** Whoever has the linking in hand, as the first call while it makes the instance, is waited for. */
  private async join({ phone, webhook_secret }: CreatedNumber): Promise<CreatedNumber> {
    const linked = await this.openFirst(phone)
    const isThere = await phoneNumbers.findOwned(this.db, phone.user_id, phone.id)
    if (!isThere) throw unavailable('The first call with this Idempotency-Key has failed. Repeat yours.')
    return { phone: linked, webhook_secret }
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
  private reserve(user: User, input: NewNumber, idempotency: Idempotency | undefined): Promise<Plan> {
    return this.db.transaction(async (tx) => {
      const owner = await users.lock(tx, user.id)
      if (!owner) throw notFound('user')
      const earlier = await this.findEarlier(tx, owner, idempotency)
      if (earlier) return { ...earlier, repeated: true }
      refuseSuspended(owner)
      refuseExpired(owner)
      if ((await phoneNumbers.countOwned(tx, owner.id)) >= owner.max_phone_numbers) throw planLimitReached(owner)
      const phone = await this.insert(tx, owner, input)
      const key = idempotency && { user_id: owner.id, ...idempotency }
      if (key && !(await idempotencyKeys.takeForNumber(tx, key, phone.id))) throw mismatch()
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
  private async undo(phone: PhoneNumber, watchSeconds: number | null, key: string | undefined): Promise<void> {
    await this.db.transaction(async (tx) => {
      await instanceRemovals.insert(tx, engineNameOf(phone), phone.server_instance, watchSeconds)
      await phoneNumbers.remove(tx, phone.id)
      if (key !== undefined) await idempotencyKeys.giveBack(tx, [{ user_id: phone.user_id, key }])
    })
  }
}

const planLimitReached = (user: User) =>
  new AppError(
    'plan_limit_reached',
    `Your plan allows ${user.max_phone_numbers} phone numbers. Delete one, or ask for a larger plan.`,
  )

const deletedMeanwhile = () =>
  new AppError('conflict', 'The phone number of this Idempotency-Key is deleted. Use a new key to make another.')
