import { EngineUnreachable } from '../clients/engine-http.js'
import { Semaphores } from '../clients/semaphore.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as media from '../db/media.js'
import * as messages from '../db/messages.js'
import type { User } from '../db/users.js'
import { AppError, notFound, unavailable } from '../errors.js'
import { hasMedia } from './engine-payloads.js'
import { cleanFileName } from './file-names.js'

export interface MessageFile {
  bytes: Buffer
  mime_type: string
  file_name: string
}

/** WhatsApp keeps files for about two weeks; a refusal after that means gone, before it means later. */
const GONE_AFTER_DAYS = 14
/** Per server: the engine holds the whole file in memory, and so do we. */
const AT_ONCE = 2

/** The file of a message: from our own store while we keep it, else from the engine on demand. */
export class MessageMediaService {
  private readonly slots = new Semaphores<string>(AT_ONCE)

  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
  ) {}

  async fetch(user: User, id: number): Promise<MessageFile> {
    const message = await messages.findMediaSource(this.db, user.id, id)
    if (!message) throw notFound('message')
    if (!hasMedia(message.type)) throw new AppError('conflict', `A ${message.type} message has no file.`)
    const { mime_type, file_name } = message.content as { mime_type?: string; file_name?: string }
    const kept = await media.find(this.db, id)
    if (kept)
      return { bytes: kept, mime_type: mediaTypeOf(mime_type), file_name: cleanFileName(file_name ?? `message-${id}`) }
    if (message.whatsapp_id === null) throw notFound('file: the message was never sent')
    return this.slots.run(message.server_instance, () => this.ask(message, message.whatsapp_id!))
  }

  private async ask(message: messages.Message & { engine_name: string; server_instance: string }, whatsappId: string) {
    const { status, body } = await this.pool
      .client(message.server_instance)
      .fetchMedia(message.engine_name, whatsappId)
      .catch((err: unknown) => {
        if (err instanceof EngineUnreachable)
          throw unavailable('The WhatsApp engine did not answer. Try again later.', err)
        throw err
      })
    const file = body as { base64?: string; mimetype?: string; fileName?: string }
    if (status !== 201 || typeof file.base64 !== 'string') throw notAvailable(message.created_at, body)
    return {
      bytes: Buffer.from(file.base64, 'base64'),
      mime_type: mediaTypeOf(file.mimetype),
      file_name: cleanFileName(file.fileName ?? whatsappId),
    }
  }
}

/** A sender can write anything there; what no header can carry is left out, with a parameter like `codecs=opus` kept. */
function mediaTypeOf(text: unknown): string {
  const [type, ...parameters] = (typeof text === 'string' ? text : '').split(/\s*;\s*/)
  if (!/^[\w.+-]+\/[\w.+-]+$/.test(type!)) return 'application/octet-stream'
  return [type, ...parameters.filter((one) => /^[\w-]+=[\w.+-]+$/.test(one))].join('; ')
}

/** The engine's texts do not tell "gone" from "try again"; the age does. */
function notAvailable(created: Date, body: unknown): AppError {
  // An instance that was made anew has no rows of the one before it.
  if (/Message not found/.test(JSON.stringify(body) ?? ''))
    return notFound('file any more: its phone number was linked anew')
  const days = (Date.now() - created.getTime()) / 86_400_000
  return days > GONE_AFTER_DAYS
    ? notFound('file any more: WhatsApp keeps files for about two weeks')
    : unavailable('WhatsApp did not hand out the file. Try again in a minute.')
}
