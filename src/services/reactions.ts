import { AppError, invalidRequest } from '../errors.js'
import type { Database } from '../db/database.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import type { MessageService, SendOptions, Sent } from './messages.js'

/** One emoji, with its variations, skin tones and joiners. */
const EMOJI = new RegExp('^\\p{RGI_Emoji}$', 'v') // the literal would need a newer compile target

/** Reactions name a message instead of a recipient. */
export class Reactions {
  constructor(
    private readonly db: Database,
    private readonly messages: MessageService,
  ) {}

  async send(user: User, messageId: number, reaction: string, options: SendOptions): Promise<Sent> {
    if (reaction !== '' && !EMOJI.test(reaction))
      throw invalidRequest('reaction must be one emoji, or "" to take it back.', [{ path: 'reaction' }])
    const target = await this.messages.get(user, messageId)
    if (target.whatsapp_id === null) throw new AppError('conflict', 'The message to react to has not been sent yet.')
    const phone = await phoneNumbers.findOwned(this.db, user.id, target.phone_number_id)
    if (!phone) throw new AppError('conflict', 'The phone number of this message is deleted.')
    const number = target.recipient.includes('@') ? target.recipient : `+${target.recipient}`
    const body = {
      type: 'reaction' as const,
      reaction,
      whatsapp_id: target.whatsapp_id,
      from_me: target.direction === 'outgoing',
    }
    return this.messages.send(user, { token: phone.token, number, body }, options)
  }
}
