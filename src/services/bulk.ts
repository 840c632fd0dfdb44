import { AppError } from '../errors.js'
import type { Database } from '../db/database.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import type { User } from '../db/users.js'
import type { Bus } from '../cache/bus.js'
import { type Accepted, type Draft, accept, earlierOf } from './acceptance.js'
import type { Drafting, Envelope } from './drafting.js'
import { type Idempotency, namedBy } from './idempotency.js'
import type { Files } from './media.js'
import type { Body } from './message-content.js'
import { tellReset } from './messages.js'
import { Semaphore } from '../clients/semaphore.js'
import { Shares } from './shares.js'

export interface BulkRequest {
  token?: string
  from?: 'auto'
  /** With the place each has in the caller's list. */
  items: { index: number; item: Envelope & { body: Body } }[]
}

export interface BulkResult {
  index: number
  message_id?: number
  error?: { code: string; message: string; details?: unknown }
}

/** Behind every single send. */
const PRIORITY = 1
/** Files of one call together: all of them are in memory, and written in one commit that others wait for. */
const MAX_FILE_BYTES = 64 * 1024 * 1024
/** Calls whose files are fetched, at the same time: what they have fetched is in memory. */
const CALLS_THAT_FETCH = { all: 3, per_user: 1, waiting_per_user: 2 }
/** Items whose files are fetched at the same time. */
const AT_ONCE = 4

/** Many messages in one call: bad items are told one by one, the good ones enter their lane together or not at all. */
export class BulkService {
  private readonly fetching = new Shares(CALLS_THAT_FETCH)

  constructor(
    private readonly db: Database,
    private readonly drafting: Drafting,
    private readonly bus: Bus,
  ) {}

  async send(user: User, request: BulkRequest, idempotencyKey?: string): Promise<BulkResult[]> {
    const items = request.items.map((item) => ({ ...item, idempotency: placeNamedBy(idempotencyKey, request, item) }))
    const earlier = await this.findEarlier(user, items)
    const fresh = items.filter(({ index }) => !earlier.has(index))
    const take = () => this.takeAll(user, request, fresh)
    const fetches = fresh.some(({ item: { body } }) => 'media' in body && body.media.url !== undefined)
    const { drafts, accepted } = await (fetches ? this.fetching.run(user.id, take) : take())
    this.bus.tell('lanes.due', {})
    const results = new Map<number, Accepted | Error>(earlier)
    let next = 0
    drafts.forEach((draft, i) => results.set(fresh[i]!.index, draft instanceof AppError ? draft : accepted[next++]!))
    return items.map(({ index }) => resultOf(index, results.get(index)!))
  }

  private async takeAll(user: User, request: BulkRequest, fresh: Item[]) {
    const drafts = fresh.length > 0 ? await this.draftAll(user, request, fresh) : []
    const good = drafts.filter((draft): draft is Draft => !(draft instanceof AppError))
    return { drafts, accepted: good.length > 0 ? await this.acceptTogether(user, good) : [] }
  }

  /** What a repeated call asks for again: it is told what became of it, whatever has changed since. */
  private async findEarlier(user: User, items: Item[]): Promise<Map<number, Accepted | AppError>> {
    const keyed = items.flatMap(({ index, idempotency }) => (idempotency ? [{ index, ...idempotency }] : []))
    if (keyed.length === 0) return new Map()
    const wanted = keyed.map(({ key }) => ({ user_id: user.id, key }))
    const found = await idempotencyKeys.findEach(this.db, wanted)
    return new Map(
      keyed.flatMap(({ index, body_hash }, n) => (found[n] ? [[index, earlierOf(found[n], body_hash)]] : [])),
    )
  }

  private async draftAll(user: User, request: BulkRequest, items: Item[]): Promise<(Draft | AppError)[]> {
    const sender = await this.drafting.senderOf(user, request)
    const slots = new Semaphore(AT_ONCE)
    const files = this.drafting.filesOfMany(user, MAX_FILE_BYTES)
    return Promise.all(items.map((item) => slots.run(() => this.draftOrError(user, sender, files, item))))
  }

  private async draftOrError(
    user: User,
    sender: Parameters<Drafting['draft']>[1],
    files: Files,
    { item: { body, ...envelope }, idempotency }: Item,
  ): Promise<Draft | AppError> {
    try {
      const handling = { priority: PRIORITY, idempotency, files }
      const { draft } = await this.drafting.draft(user, sender, envelope, body, handling)
      return draft
    } catch (err) {
      if (err instanceof AppError && err.status < 500) return err
      throw err
    }
  }

  /** One decision on the quota: when it does not reach for all of them, none is taken. */
  private async acceptTogether(user: User, drafts: Draft[]): Promise<(Accepted | Error)[]> {
    try {
      return await accept(this.db, drafts, { bulk: true })
    } catch (err) {
      throw tellReset(err, user)
    }
  }
}

type Item = BulkRequest['items'][number] & { idempotency?: Idempotency }

/** Each item has a key of its own: that of the call, and its place in the list. */
function placeNamedBy(key: string | undefined, { token, from }: BulkRequest, { index, item }: Item) {
  return namedBy(key && `${key}#${index}`, 'bulk', { token, from, item })
}

function resultOf(index: number, result: Accepted | Error): BulkResult {
  if (!(result instanceof Error)) return { index, message_id: result.id }
  if (!(result instanceof AppError)) throw result
  return { index, error: { code: result.code, message: result.message, details: result.options.details } }
}
