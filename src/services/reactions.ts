import { AppError, invalidRequest } from '../errors.js'
import type { Database } from '../db/database.js'
import type { Message } from '../db/messages.js'
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

  async send(user: User, messageId: number, emoji: string, options: SendOptions): Promise<Sent> {
    const reaction = qualified(emoji)
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
      participant: authorOf(target),
    }
    return this.messages.send(user, { token: phone.token, number, body }, options)
  }
}

/** In a group WhatsApp finds a message by who wrote it, too. */
function authorOf({ direction, recipient, content }: Pick<Message, 'direction' | 'recipient' | 'content'>) {
  const author = content.participant_jid ?? content.participant
  return direction === 'incoming' && recipient.endsWith('@g.us') && typeof author === 'string' ? author : undefined
}

/** Many write the heart without the mark that makes an emoji of it: it is added. */
function qualified(reaction: string): string {
  const found = [reaction, `${reaction}\ufe0f`].find((one) => one === '' || EMOJI.test(one))
  if (found === undefined)
    throw invalidRequest('reaction must be one emoji, or "" to take it back.', [{ path: 'reaction' }])
  return found
}
