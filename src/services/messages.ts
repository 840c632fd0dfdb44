import { BEGIN_IN_PARTS, type Database } from '../db/database.js'
import { GroupCommit } from '../db/group-commit.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import * as media from '../db/media.js'
import * as queue from '../db/message-queue.js'
import * as messageRows from '../db/messages.js'
import type { Filter, Message } from '../db/messages.js'
import * as usage from '../db/usage.js'
import type { User } from '../db/users.js'
import { AppError, notFound } from '../errors.js'
import { type Accepted, earlierOf, quotaExceeded } from './acceptance.js'
import { type Day, dayIn, nextMidnight } from './days.js'
import { type Drafted, type Drafting, type Envelope, checkSendAt } from './drafting.js'
import { type Idempotency, namedBy } from './idempotency.js'
import type { Lanes } from './lanes.js'
import type { Body } from './message-content.js'
import type { QueueService } from './queue.js'
import type { WaitingRoom } from './waiting-room.js'

/** One message to send: which number, how, and what. */
export interface SendRequest extends Envelope {
  token?: string
  from?: 'auto'
  body: Body
}

export interface SendOptions {
  /** Seconds the caller is ready to wait for the outcome. */
  wait: number
  idempotency_key?: string
}

export interface Quota {
  limit: number
  remaining: number
  resets_at: Date
}

export interface Sent {
  message: Message
  quota: Quota
}

const CANCELED = { status: 'canceled', code: 'canceled', message: 'It was canceled before it was sent.' } as const

export class MessageService {
  private readonly found: GroupCommit<{ user_id: number; id: number }, Message | undefined>
  private readonly keysFound: GroupCommit<{ user_id: number; key: string }, idempotencyKeys.Remembered | undefined>

  constructor(
    private readonly db: Database,
    private readonly lanes: Lanes,
    private readonly drafting: Drafting,
    private readonly queue: QueueService,
    private readonly waitingRoom: WaitingRoom,
  ) {
    this.found = new GroupCommit((wanted) => messageRows.findEachOwned(db, wanted))
    this.keysFound = new GroupCommit((wanted) => idempotencyKeys.findEach(db, wanted))
  }

  /** Takes the message over durably and answers its state once it is known, or when the caller's patience is over. */
  async send(user: User, request: SendRequest, { wait, idempotency_key }: SendOptions): Promise<Sent> {
    return this.answer(user, await this.take(user, request, idempotency_key), wait)
  }

  /** The first half of `send`: from here on the request is needed no more. */
  async take(user: User, request: SendRequest, idempotency_key: string | undefined): Promise<Accepted> {
    const idempotency = namedBy(idempotency_key, 'send', request)
    // The commit finds a repeat by itself; before that only where it saves fetching a file again.
    const earlier = 'media' in request.body ? await this.findEarlier(user, idempotency) : undefined
    const drafted = earlier ?? (await this.draftOrFindEarlier(user, request, idempotency))
    return 'draft' in drafted ? this.accept(user, drafted) : drafted
  }

  async get(user: User, id: number): Promise<Message> {
    const message = await this.found.add({ user_id: user.id, id })
    if (!message) throw notFound('message')
    return message
  }

  list(user: User, filter: Filter): Promise<Message[]> {
    const recipient = filter.recipient && this.recipientAsKept(filter.recipient)
    const page = { ...filter, recipient }
    return this.db.transaction((tx) => messageRows.listOwned(tx, user.id, page), BEGIN_IN_PARTS)
  }

  /** Ends a message that still waits and gives its quota back. */
  async cancel(user: User, id: number): Promise<Message> {
    const message = await this.get(user, id)
    const ended = message.status === 'queued' ? await this.queue.end([message], CANCELED) : []
    if (ended.length === 0) {
      const now = await this.get(user, id)
      if (now.status !== 'canceled')
        throw new AppError('conflict', `This message is ${now.status}; only a queued one can be canceled.`)
    }
    return this.get(user, id)
  }

  /** Moves a scheduled message to another time, and its charge to that day. */
  async reschedule(user: User, id: number, sendAt: Date): Promise<Message> {
    checkSendAt(sendAt, new Date())
    const day = dayIn(user.time_zone, sendAt)
    await this.db.transaction(async (tx) => {
      await usage.lockAll(tx, [user.id])
      const scheduled = await queue.findScheduled(tx, user.id, id)
      if (!scheduled) throw notFound('message')
      if (scheduled.status !== 'queued' || scheduled.send_at === null)
        throw new AppError('conflict', 'Only a message that still waits for its time can be rescheduled.')
      if (scheduled.quota_day !== day) {
        await usage.refund(tx, [{ user_id: user.id, day: scheduled.quota_day }])
        const [receipt] = await usage.spend(tx, [{ user_id: user.id, day }])
        if (!receipt!.paid) throw tellReset(quotaExceeded(day), user)
      }
      await queue.reschedule(tx, id, sendAt, day)
    })
    return this.get(user, id)
  }

  /** Sends the same again as a message of its own; for one whose fate is unknown that is the caller's risk. */
  async retry(user: User, id: number, { wait, idempotency_key }: SendOptions): Promise<Sent> {
    const idempotency = namedBy(idempotency_key, 'retry', { id })
    const earlier = await this.findEarlier(user, idempotency)
    if (earlier) return this.answer(user, earlier, wait)
    const message = await messageRows.findForRetry(this.db, user.id, id)
    if (!message) throw notFound('message')
    if (message.source !== 'api' || !RETRYABLE.has(message.status))
      throw new AppError(
        'conflict',
        `This message is ${message.status}; only a failed, expired, canceled or unconfirmed one can be retried.`,
      )
    if (Object.keys(message.content).length === 0)
      throw new AppError('conflict', 'What this message said is no longer kept. Send it again.')
    const bytes = message.has_bytes ? await media.find(this.db, id) : undefined
    if ('mime_type' in message.content && !bytes)
      throw new AppError('conflict', 'The file of this message is no longer kept. Send it again.')
    const phone = await this.drafting.senderOf(user, { token: message.token })
    const { draft, route } = await this.drafting.draft(
      user,
      phone,
      { number: message.recipient.includes('@') ? message.recipient : `+${message.recipient}`, retry_of: id },
      { type: 'text', text: '' },
      { idempotency },
    )
    const { type, content, reply_to, ttl_seconds, on_ambiguous, fingerprint } = message
    const again = { ...draft, type, content, reply_to, ttl_seconds, on_ambiguous, bytes, fingerprint }
    return this.answer(user, await this.accept(user, { draft: again, route }), wait)
  }

  /** It may be written as for a send; what cannot be sent to may still have written to us. */
  private recipientAsKept(text: string): string {
    try {
      return this.drafting.recipientOf(text).recipient
    } catch {
      return text
    }
  }

  /** Whatever has changed since, a repeat is told what became of the first. */
  private async draftOrFindEarlier(user: User, request: SendRequest, idempotency?: Idempotency) {
    try {
      const phone = await this.drafting.senderOf(user, request)
      return await this.drafting.draft(user, phone, request, request.body, { idempotency })
    } catch (err) {
      const earlier = await this.findEarlier(user, idempotency)
      if (earlier) return earlier
      throw err
    }
  }

  private async findEarlier(user: User, idempotency?: Idempotency): Promise<Accepted | undefined> {
    if (!idempotency) return undefined
    const { key, body_hash } = idempotency
    const found = await this.keysFound.add({ user_id: user.id, key })
    const earlier = found && earlierOf(found, body_hash)
    if (earlier instanceof AppError) throw earlier
    return earlier
  }

  private async accept(user: User, { draft, route }: Drafted): Promise<Accepted> {
    try {
      const accepted = await this.lanes.accept(draft, route)
      // What is left of another day would be told beside the time when today ends.
      const today = dayIn(user.time_zone, new Date())
      return draft.quota_day === today ? accepted : { ...accepted, remaining: undefined }
    } catch (err) {
      throw tellReset(err, user)
    }
  }

  /** The second half of `send`. */
  async answer(user: User, accepted: Accepted, waitSeconds: number): Promise<Sent> {
    const message = await this.outcomeOf(user, accepted, accepted.blocked ? 0 : waitSeconds)
    const now = new Date()
    const limit = user.max_messages_per_day
    const left = accepted.remaining ?? limit - (await usage.usedOn(this.db, user.id, dayIn(user.time_zone, now)))
    const remaining = message.refunded && accepted.remaining !== undefined ? left + 1 : left
    return {
      message,
      quota: { limit, remaining: Math.max(0, remaining), resets_at: nextMidnight(user.time_zone, now) },
    }
  }

  private async outcomeOf(user: User, { id, claim }: Accepted, waitSeconds: number): Promise<Message> {
    let justBegun = claim !== undefined
    const settled = await this.waitingRoom.until('message.changed', id, waitSeconds * 1000, async () => {
      // What this process has begun in this very moment need not be looked up to know that it is not over.
      if (justBegun) return void (justBegun = false)
      const message = await this.get(user, id)
      return message.status === 'queued' || message.status === 'sending' ? undefined : message
    })
    return settled ?? this.get(user, id)
  }
}

const RETRYABLE = new Set(['failed', 'expired', 'canceled', 'unconfirmed'])

/** Waiting helps when today is used up; a later day stays full however long the caller waits. */
export function tellReset(err: unknown, user: User): unknown {
  if (!(err instanceof AppError) || err.code !== 'quota_exceeded') return err
  const now = new Date()
  const { day } = err.options.details as { day: Day }
  const details = { limit: user.max_messages_per_day, day }
  if (day !== dayIn(user.time_zone, now)) {
    const message = `Your plan has no messages left for ${day}, the day of send_at. Choose another day or ask for a larger plan.`
    return new AppError(err.code, message, { details })
  }
  const resets_at = nextMidnight(user.time_zone, now)
  const message = 'Your plan has no messages left for today. Wait for the next day or ask for a larger plan.'
  const retry_after_seconds = Math.ceil((resets_at.getTime() - now.getTime()) / 1000)
  return new AppError(err.code, message, { details: { ...details, resets_at }, retry_after_seconds })
}
