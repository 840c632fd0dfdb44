import type { Database } from '../db/database.js'
import { GroupCommit } from '../db/group-commit.js'
import * as messageRows from '../db/messages.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { Sender } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import type { Draft } from './acceptance.js'
import { dayIn } from './days.js'
import { fingerprintOf } from './fingerprint.js'
import { engineNameOf } from './engine-names.js'
import type { Route } from './lanes.js'
import { needsScan } from './link-needs.js'
import { type Files, MediaBatch, type MediaService } from './media.js'
import { type Body, prepare } from './message-content.js'
import { type Recipient, RecipientInvalid, parseRecipient } from './recipients.js'
import { refuseExpired } from './user-standing.js'

/** How a message is to be sent, whatever it says. */
export interface Envelope {
  number: string | number
  ttl_seconds?: number
  on_ambiguous?: 'keep' | 'retry'
  send_at?: Date
  quoted_message_id?: number
  mentions?: (string | number)[]
  mention_all?: boolean
  retry_of?: number
}

export interface Drafted {
  draft: Draft
  route: Route
}

/** What is not the caller's to say in the body. */
interface Handling {
  priority?: number
  idempotency?: Draft['idempotency']
  files?: Files
}

const YEAR_MS = 366 * 86_400_000
const MAX_RECIPIENTS = 10_000
const MAX_TURNS = 10_000

/** Turns requests into drafts: everything that can be wrong is found here, before the quota is touched. */
export class Drafting {
  private readonly byTokens: GroupCommit<{ user_id: number; token: string }, Sender | undefined>
  private readonly recipients = new Map<string | number, Recipient>()
  /** How often each user has left the choice to us. */
  private readonly turns = new Map<number, number>()

  constructor(
    private readonly db: Database,
    private readonly media: MediaService,
    private readonly options: { default_country: string; ttl_seconds: number },
  ) {
    this.byTokens = new GroupCommit((wanted) => phoneNumbers.findEachByToken(db, wanted))
  }

  /** The number that sends: by token, or the user's connected ones in turn; what only asks takes no turn. */
  async senderOf(user: User, { token, from }: { token?: string; from?: 'auto' }, takes = 1): Promise<Sender> {
    refuseExpired(user)
    if (token !== undefined && from !== undefined) throw invalidRequest('Give token or from, not both.')
    const phone = token === undefined ? await this.nextConnected(user, from, takes) : await this.byToken(user, token)
    refuseUnlinked(phone)
    return phone
  }

  async draft(
    user: User,
    phone: Sender,
    envelope: Envelope,
    body: Body,
    { priority = 0, idempotency, files = this.media.of(user.id) }: Handling = {},
  ): Promise<Drafted> {
    const { recipient, kind } = this.recipientOf(envelope.number)
    const now = new Date()
    checkSendAt(envelope.send_at, now)
    const reply_to = await this.quoted(user, phone, envelope.quoted_message_id)
    const { type, content, bytes } = await this.prepare(body, files)
    const mentions = this.mentionsOf(envelope, kind)
    const draft = {
      user_id: user.id,
      phone_number_id: phone.id,
      generation: phone.engine_generation,
      type,
      recipient,
      content: mentions ? { ...content, ...mentions } : content,
      fingerprint: fingerprintOf(type, content),
      reply_to,
      priority,
      ttl_seconds: envelope.ttl_seconds ?? this.options.ttl_seconds,
      on_ambiguous: envelope.on_ambiguous ?? 'keep',
      quota_day: dayIn(user.time_zone, envelope.send_at ?? now),
      send_at: envelope.send_at ?? null,
      retry_of: envelope.retry_of ?? null,
      bytes,
      idempotency,
    }
    return { draft, route: { engine_name: engineNameOf(phone), server_instance: phone.server_instance } }
  }

  /** For the files of many messages, which may have so many bytes together. */
  filesOfMany(user: User, maxBytes: number): Files {
    return new MediaBatch(this.media, user.id, maxBytes)
  }

  /** Reading a number takes longer than most of what follows, and the same people are written to again. */
  recipientOf(number: string | number): Recipient {
    const known = this.recipients.get(number)
    if (known) return known
    try {
      const recipient = parseRecipient(number, this.options.default_country)
      if (this.recipients.size >= MAX_RECIPIENTS) this.recipients.clear()
      this.recipients.set(number, recipient)
      return recipient
    } catch (err) {
      throw asInvalid(err, 'number')
    }
  }

  private async prepare(body: Body, files: Files) {
    try {
      return await prepare(body, files, this.options.default_country)
    } catch (err) {
      throw asInvalid(err, 'contacts')
    }
  }

  private mentionsOf({ mentions, mention_all }: Envelope, kind: Recipient['kind']) {
    if (mentions === undefined && !mention_all) return undefined
    if (kind !== 'group') throw invalidRequest('Only messages to groups can mention somebody.')
    return {
      ...(mentions ? { mentions: mentions.map((number) => this.recipientOf(number).recipient) } : {}),
      ...(mention_all ? { mention_all: true } : {}),
    }
  }

  /** The engine drops an unknown quote silently, so it is looked up here. */
  private async quoted(user: User, phone: Sender, id: number | undefined): Promise<string | null> {
    if (id === undefined) return null
    const message = await messageRows.findOwned(this.db, user.id, id)
    if (message?.phone_number_id !== phone.id) throw notFound('message to quote on this phone number')
    if (message.whatsapp_id === null) throw new AppError('conflict', 'The message to quote has not been sent yet.')
    return message.whatsapp_id
  }

  private async byToken(user: User, token: string): Promise<Sender> {
    const phone = await this.byTokens.add({ user_id: user.id, token })
    if (!phone) throw notFound('phone number')
    return phone
  }

  private async nextConnected(user: User, from: 'auto' | undefined, takes: number): Promise<Sender> {
    if (from !== 'auto') throw invalidRequest('Give the token of a phone number, or "from": "auto".')
    const connected = await phoneNumbers.listConnected(this.db, user.id)
    if (connected.length === 0) throw notConnected('None of your phone numbers is connected. Link one first.')
    const turn = this.turns.get(user.id) ?? 0
    if (this.turns.size >= MAX_TURNS) this.turns.clear()
    this.turns.set(user.id, turn + takes)
    return connected[turn % connected.length]!
  }
}

const notConnected = (message: string) => new AppError('phone_number_not_connected', message)
const SCAN = 'Scan its QR code: GET /api/phone-numbers/{id}/qr.'

/** A number that only reconnects keeps its queue; one that waits for a scan would keep it for nothing. */
function refuseUnlinked(phone: Sender) {
  if (phone.first_connected_at === null) throw notConnected(`This phone number was never connected. ${SCAN}`)
  if (needsScan(phone)) throw notConnected(`This phone number must be linked again. ${SCAN}`)
}

export function checkSendAt(at: Date | undefined, now: Date) {
  if (!at) return
  if (at.getTime() <= now.getTime()) throw invalidRequest('send_at must be in the future.')
  if (at.getTime() > now.getTime() + YEAR_MS) throw invalidRequest('send_at may be a year ahead at most.')
}

function asInvalid(err: unknown, path: string): unknown {
  return err instanceof RecipientInvalid ? invalidRequest(err.message, [{ path, message: err.message }]) : err
}
