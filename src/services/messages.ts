import type { Database } from '../db/database.js'
import * as messageRows from '../db/messages.js'
import type { Message } from '../db/messages.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import { dayIn, nextMidnight } from './days.js'
import type { Lanes } from './lanes.js'
import type { MediaService, MediaSource } from './media.js'
import type { MediaType } from './media-types.js'
import { RecipientInvalid, parseRecipient } from './recipients.js'
import type { WaitingRoom } from './waiting-room.js'

/** Which of the user's numbers sends: by token, or the least recently used connected one. */
export interface Sender {
  token?: string
  from?: 'auto'
}

export interface SendRequest extends Sender {
  number: string | number
  /** Seconds the caller is ready to wait for the outcome. */
  wait: number
  ttl_seconds?: number
}

export interface TextRequest extends SendRequest {
  text: string
}

export interface MediaRequest extends SendRequest {
  media: MediaSource
  media_type: MediaType
  caption?: string
  file_name?: string
}

export interface Quota {
  limit: number
  remaining: number
  resets_at: Date
}

interface Options {
  default_country: string
  ttl_seconds: number
}

/** A number in one of these states comes back only when somebody links it again. */
const NEEDS_LINK = new Set(['qr_expired', 'logged_out', 'restricted_by_whatsapp', 'server_lost'])

export class MessageService {
  private turn = 0

  constructor(
    private readonly db: Database,
    private readonly lanes: Lanes,
    private readonly media: MediaService,
    private readonly waitingRoom: WaitingRoom,
    private readonly options: Options,
  ) {}

  sendText(user: User, request: TextRequest) {
    return this.send(user, request, () => Promise.resolve({ type: 'text', content: { text: request.text } }))
  }

  sendMedia(user: User, request: MediaRequest) {
    return this.send(user, request, async () => {
      const file = await this.media.obtain(request.media, request.media_type, request.file_name)
      const { bytes, mime_type, file_name } = file
      const caption = request.caption ? { caption: request.caption } : {}
      return { type: request.media_type, content: { mime_type, file_name, size: bytes.length, ...caption }, bytes }
    })
  }

  /** Everything that can be wrong is found before the quota is touched. */
  private async send(user: User, request: SendRequest, prepare: () => Promise<Prepared>): Promise<Sent> {
    const recipient = this.recipientOf(request.number)
    const phone = await this.senderOf(user, request)
    refuseUnlinked(phone)
    const prepared = await prepare()
    const now = new Date()
    const resets_at = nextMidnight(user.time_zone, now)
    const accepted = await this.lanes
      .accept(
        {
          user_id: user.id,
          phone_number_id: phone.id,
          generation: phone.engine_generation,
          recipient,
          priority: 0,
          ttl_seconds: request.ttl_seconds ?? this.options.ttl_seconds,
          quota_day: dayIn(user.time_zone, now),
          ...prepared,
        },
        { engine_name: `${phone.instance_name}_g${phone.engine_generation}`, server_instance: phone.server_instance },
      )
      .catch((err: unknown) => {
        throw tellReset(err, user, resets_at)
      })
    const message = await this.outcomeOf(user, accepted.id, accepted.blocked ? 0 : request.wait)
    return { message, quota: { limit: user.max_messages_per_day, remaining: accepted.remaining, resets_at } }
  }

  private async outcomeOf(user: User, id: number, waitSeconds: number): Promise<Message> {
    const find = async () => (await messageRows.findOwned(this.db, user.id, id))!
    const settled = await this.waitingRoom.until('message.changed', id, waitSeconds * 1000, async () => {
      const message = await find()
      return message.status === 'queued' || message.status === 'sending' ? undefined : message
    })
    return settled ?? find()
  }

  private recipientOf(number: string | number): string {
    try {
      return parseRecipient(number, this.options.default_country).recipient
    } catch (err) {
      if (err instanceof RecipientInvalid) throw invalidRequest(err.message, [{ path: 'number', message: err.message }])
      throw err
    }
  }

  private async senderOf(user: User, { token, from }: Sender): Promise<PhoneNumber> {
    if (token !== undefined) {
      const phone = await phoneNumbers.findByToken(this.db, user.id, token)
      if (!phone) throw notFound('phone number')
      return phone
    }
    if (from !== 'auto') throw invalidRequest('Give the token of a phone number, or "from": "auto".')
    const connected = await phoneNumbers.listConnected(this.db, user.id)
    if (connected.length === 0) throw notConnected('None of your phone numbers is connected. Link one first.')
    return connected[this.turn++ % connected.length]!
  }
}

interface Prepared {
  type: string
  content: Record<string, unknown>
  bytes?: Buffer
}

export interface Sent {
  message: Message
  quota: Quota
}

function tellReset(err: unknown, user: User, resets_at: Date): unknown {
  if (!(err instanceof AppError) || err.code !== 'quota_exceeded') return err
  return new AppError(err.code, err.message, {
    details: { limit: user.max_messages_per_day, resets_at },
    retry_after_seconds: Math.ceil((resets_at.getTime() - Date.now()) / 1000),
  })
}

const notConnected = (message: string) => new AppError('phone_number_not_connected', message)

/** A number that only reconnects keeps its queue; one that waits for a scan would keep it for nothing. */
function refuseUnlinked(phone: PhoneNumber) {
  if (phone.first_connected_at === null)
    throw notConnected('This phone number was never connected. Scan its QR code first: GET /api/phone-numbers/{id}/qr.')
  const mustRelink =
    ['created', 'qr_ready'].includes(phone.status) ||
    (phone.status === 'disconnected' && NEEDS_LINK.has(phone.status_reason ?? ''))
  if (mustRelink)
    throw notConnected('This phone number must be linked again. Scan its QR code: GET /api/phone-numbers/{id}/qr.')
}
