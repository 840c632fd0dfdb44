import { AppError } from '../errors.js'
import type { Database } from '../db/database.js'
import type { User } from '../db/users.js'
import type { Bus } from '../cache/bus.js'
import { type Accepted, type Draft, accept } from './acceptance.js'
import type { Drafting, Envelope } from './drafting.js'
import { hashOf } from './drafting.js'
import type { Membership } from './lanes.js'
import type { Body } from './message-content.js'
import { tellReset } from './messages.js'
import { Semaphore } from '../clients/semaphore.js'

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
/** Items whose files are fetched at the same time. */
const AT_ONCE = 4

/** Many messages in one call: bad items are told one by one, the good ones enter their lane together or not at all. */
export class BulkService {
  constructor(
    private readonly db: Database,
    private readonly drafting: Drafting,
    private readonly bus: Bus,
    private readonly process: Membership,
  ) {}

  async send(user: User, request: BulkRequest, idempotencyKey?: string): Promise<BulkResult[]> {
    const sender = await this.drafting.senderOf(user, request)
    const slots = new Semaphore(AT_ONCE)
    const drafts = await Promise.all(
      request.items.map(({ item, index }) =>
        slots.run(() => this.draftOrError(user, sender, item, index, idempotencyKey)),
      ),
    )
    const good = drafts.filter((draft): draft is Draft => !(draft instanceof AppError))
    const accepted = good.length > 0 ? await this.acceptTogether(user, good) : []
    this.bus.tell('lanes.due', {})
    let next = 0
    return drafts.map((draft, i) =>
      resultOf(request.items[i]!.index, draft instanceof AppError ? draft : accepted[next++]!),
    )
  }

  private async draftOrError(
    user: User,
    sender: Parameters<Drafting['draft']>[1],
    { body, ...envelope }: Envelope & { body: Body },
    index: number,
    key: string | undefined,
  ): Promise<Draft | AppError> {
    try {
      const { draft } = await this.drafting.draft(user, sender, envelope, body, PRIORITY)
      const idempotency =
        key === undefined ? undefined : { key: `${key}#${index}`, body_hash: hashOf('bulk', { envelope, body }) }
      return { ...draft, idempotency, process_id: this.process.id }
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

function resultOf(index: number, result: Accepted | Error): BulkResult {
  if (!(result instanceof Error)) return { index, message_id: result.id }
  if (!(result instanceof AppError)) throw result
  return { index, error: { code: result.code, message: result.message, details: result.options.details } }
}
