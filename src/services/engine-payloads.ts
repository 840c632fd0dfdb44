import type { Claimed } from '../db/messages.js'

/** The engine's route and body for a message; media travel as base64, which every deployment's engine accepts. */
export function enginePayload(message: Claimed, media: Buffer | undefined) {
  const { content } = message
  switch (message.type) {
    case 'text':
      return { route: 'sendText', body: { number: message.recipient, text: content.text } }
    case 'image':
    case 'video':
    case 'audio':
    case 'document':
      return {
        route: 'sendMedia',
        body: {
          number: message.recipient,
          mediatype: message.type,
          media: media?.toString('base64') ?? '',
          mimetype: content.mime_type,
          fileName: content.file_name,
          ...(content.caption ? { caption: content.caption } : {}),
        },
      }
    default:
      throw new Error(`There is no engine route for a message of type ${message.type}.`)
  }
}

export const hasMedia = (type: string) => ['image', 'video', 'audio', 'document', 'sticker'].includes(type)
