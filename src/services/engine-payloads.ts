import type { Claimed } from '../db/outgoing-messages.js'

/** The engine's route and body for a message; `media` in base64, which every deployment's engine accepts. */
export function enginePayload(message: Claimed, media = '') {
  const { route, body } = payloadOf(message, media)
  const { link_preview, mentions, mention_all } = message.content
  return {
    route,
    body: {
      ...(message.type === 'reaction' ? {} : { number: message.recipient }),
      ...body,
      ...(message.reply_to ? { quoted: { key: { id: message.reply_to } } } : {}),
      ...(link_preview === undefined ? {} : { linkPreview: link_preview }),
      ...(mentions === undefined ? {} : { mentioned: mentions }),
      ...(mention_all ? { mentionsEveryOne: true } : {}),
    },
  }
}

function payloadOf({ type, content, recipient }: Claimed, file: string) {
  switch (type) {
    case 'text':
      return { route: 'sendText', body: { text: content.text } }
    case 'image':
    case 'video':
    case 'audio':
    case 'document':
      return content.voice
        ? { route: 'sendWhatsAppAudio', body: { audio: file, encoding: true } }
        : { route: 'sendMedia', body: mediaBody(type, content, file) }
    case 'sticker':
      return { route: 'sendSticker', body: { sticker: file } }
    case 'location':
      return { route: 'sendLocation', body: content }
    case 'contact':
      return { route: 'sendContact', body: { contact: content.contacts } }
    case 'poll':
      return { route: 'sendPoll', body: pollBody(content) }
    case 'reaction':
      return { route: 'sendReaction', body: reactionBody(content, recipient) }
    default:
      throw new Error(`There is no engine route for a message of type ${type}.`)
  }
}

type Content = Claimed['content']

function mediaBody(mediatype: string, { mime_type, file_name, caption }: Content, media: string) {
  return { mediatype, media, mimetype: mime_type, fileName: file_name, ...(caption ? { caption } : {}) }
}

const pollBody = ({ name, values, selectable_count }: Content) => ({ name, values, selectableCount: selectable_count })

function reactionBody({ reaction, whatsapp_id, from_me, participant }: Content, recipient: string) {
  const author = typeof participant === 'string' ? { participant: jidOf(participant) } : {}
  return { key: { id: whatsapp_id, remoteJid: jidOf(recipient), fromMe: from_me, ...author }, reaction }
}

/** Digits are a person; groups and lids carry their own server. */
export const jidOf = (recipient: string) => (recipient.includes('@') ? recipient : `${recipient}@s.whatsapp.net`)

export const hasMedia = (type: string) => ['image', 'video', 'audio', 'document', 'sticker'].includes(type)
