import { exchanges } from './recordings.js'
import type { Action, Story } from './recordings-steps.js'
import { ANA, anyOrder, GIF, incoming, openWa2, quiet, trouble, webhookTo, well, words } from './recordings-steps.js'

const long = (unsigned: boolean) => ({ low: 1, high: 0, unsigned })
const contact = {
  contactMessage: {
    displayName: 'Bia',
    vcard: 'BEGIN:VCARD\nVERSION:3.0\nFN:Bia\nTEL;waid=5511977770000:+55 11 97777-0000\nEND:VCARD',
  },
}
const location = {
  locationMessage: { degreesLatitude: -23.55, degreesLongitude: -46.63, name: 'Casa', address: 'Rua Exemplo, 5' },
}
const heart = {
  reactionMessage: {
    key: { remoteJid: `${ANA}@s.whatsapp.net`, fromMe: true, id: '3EB0', participant: '' },
    text: '❤️',
    senderTimestampMs: long(false),
  },
}
const goneImage = {
  imageMessage: {
    url: 'https://mmg.whatsapp.net/f/gone',
    directPath: '/f/gone',
    mimetype: 'image/gif',
    ...{ mediaKey: '', fileLength: long(true), fileSha256: '', annotations: [], scanLengths: [], fileEncSha256: '' },
    ...{ mediaKeyTimestamp: long(false), interactiveAnnotations: [] },
  },
}
const image = { type: 'image' as const, mimetype: 'image/gif', base64: GIF, caption: 'pixel' }
const document = { type: 'document' as const, mimetype: 'application/pdf', base64: 'JVBERi0xLjQKZmFrZQo=' }

/** The window of a recording becomes one of seconds before now. */
const window =
  (name: string, from: number, to = -1): Action =>
  (stage) => {
    const { where } = exchanges.get(name)!.request.body as { where: { messageTimestamp: { gte: string; lte: string } } }
    stage.alias(where.messageTimestamp.gte, new Date(Date.now() - from * 1000).toISOString())
    stage.alias(where.messageTimestamp.lte, new Date(Date.now() - to * 1000).toISOString())
  }

const people: Action = (stage) => {
  stage.one.controls.teachRecipient('5511000000077', { on_whatsapp: false })
  stage.one.controls.addGroup('120363025246125486@g.us', 'Grupo de teste')
}

/** Nobody reads what is sent. */
const delivered: Action = (stage) => stage.one.controls.teachRecipient(ANA, { receipts: 'delivered' })

const sayTo =
  (number: string, text: string): Action =>
  async (stage) => {
    await stage.say('rec-wa2', number, text)
    await stage.quiet()
  }

/** What is sent and received through a connected instance. */
export const messageStories: Story[] = [
  {
    title: 'every kind of message, marks, edits and deletions',
    steps: [
      openWa2,
      people,
      'wa-send-text-before-others',
      ...['location', 'contact'].flatMap((kind) => [quiet, `wa-send-${kind}`, `wa-webhooks-send-${kind}`]),
      quiet,
      ...words('wa-send-contact-two wa-send-poll'),
      anyOrder('wa-webhooks-send-poll'),
      incoming('rec-wa2', { text: 'react to me', key_id: '3AIN200000000001' }),
      ...['reaction', 'reaction-remove'].flatMap((kind) => [quiet, `wa-send-${kind}`, `wa-webhooks-send-${kind}`]),
      'wa-send-reaction-unknown-message',
      ...words(`wa-send-location-latitude-string wa-send-location-missing-name wa-send-contact-missing-phone
        wa-send-contact-not-array wa-send-poll-missing-selectable-count wa-send-poll-one-value
        wa-send-reaction-missing-from-me wa-send-reaction-missing-reaction wa-send-reaction-not-emoji
        wa-send-sticker-missing wa-send-ptv-missing wa-send-ptv-not-video`),
      quiet,
      ...words('wa-send-sticker wa-webhooks-send-sticker'),
      quiet,
      ...words('wa-send-text-quoted-by-id wa-webhooks-send-text-quoted wa-send-text-quoted-without-id'),
      quiet,
      ...words('wa-send-text-quoted-unknown-id wa-send-text-mentioned-one-to-one wa-send-text-group-mentioned'),
      anyOrder('wa-webhooks-send-text-group-mentioned'),
      'wa-send-text-mentioned-with-plus',
      ...words(`wa-mark-message-as-read wa-mark-message-as-read-lid wa-mark-message-as-read-missing
        wa-mark-message-as-read-missing-from-me wa-send-presence-composing wa-send-presence-missing-delay
        wa-send-presence-unknown wa-whatsapp-numbers-several wa-whatsapp-numbers-several-valid-only
        wa-whatsapp-numbers-empty wa-whatsapp-numbers-missing`),
      quiet,
      ...words(`wa-update-message-text wa-webhooks-update-message wa-update-message-incoming
        wa-update-message-missing-key wa-update-message-missing-text wa-update-message-of-other-chat
        wa-update-message-unknown wa-find-messages-by-id wa-find-messages-edited wa-find-status-message-by-id
        wa-find-status-message-by-remote-jid wa-find-status-message-status-filter wa-find-status-message-unknown
        wa-send-text-to-be-deleted`),
      quiet,
      ...words(`wa-delete-message-for-everyone wa-webhooks-delete-message-for-everyone
        wa-delete-message-for-everyone-again wa-delete-message-for-everyone-unknown
        wa-delete-message-for-everyone-missing-from-me wa-find-messages-after-delete-for-everyone`),
      incoming('rec-wa2', { message: contact }),
      'wa-webhooks-messages-upsert-contact',
      incoming('rec-wa2', { message: location }),
      'wa-webhooks-messages-upsert-location',
      incoming('rec-wa2', { message: heart }),
      'wa-webhooks-messages-upsert-reaction',
    ],
  },
  {
    title: 'media and finding',
    steps: [
      openWa2,
      'wa-send-text-before-others',
      quiet,
      'wa-update-message-text',
      delivered,
      incoming('rec-wa2', { media: image, key_id: '3AIN200000000010' }),
      'wa-webhooks-messages-upsert-image-downloadable',
      () => new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000))),
      incoming('rec-wa2', { media: image, key_id: '3AIN200000000010' }),
      incoming('rec-wa2', { media: { ...document, file_name: 'a.pdf' }, key_id: '3AIN200000000011' }),
      incoming('rec-wa2', { message: goneImage, key_id: '3AIN200000000012' }),
      'wa-send-media-image-downloadable',
      quiet,
      window('wa-find-messages-window', 0),
      window('wa-find-messages-window-page-2', 0),
      window('wa-find-messages-window-empty', 7_200, 3_600),
      ...words(`wa-find-messages-window wa-find-messages-window-page-2 wa-find-messages-window-empty
        wa-find-messages-from-me-true wa-find-messages-from-me-false wa-find-messages-unknown-id
        wa-find-messages-offset-string wa-send-media-document-downloadable wa-get-base64-sent-document
        wa-get-base64-incoming-image wa-get-base64-incoming-document wa-get-base64-media-gone
        wa-get-base64-incoming-image-whole-message wa-get-base64-of-text wa-get-base64-unknown
        wa-get-base64-empty-body wa-get-base64-no-key`),
      (stage) => stage.create('rec-wa3'),
      (stage) => stage.link('rec-wa3', '5511911110030'),
      incoming('rec-wa3', { text: 'a', key_id: '3AIN300000000001' }),
      'wa-find-messages-by-remote-jid-alt',
    ],
  },
  {
    title: 'a caller that gives up',
    steps: [
      (stage) => stage.create('rec-wa2', webhookTo(stage, '/w2', { authorization: 'Bearer gw-secret' })),
      (stage) => stage.link('rec-wa2', '5511911110020'),
      delivered,
      sayTo(ANA, 'warm'),
      ...words('wa-send-text-client-gives-up wa-webhooks-send-text-client-gives-up'),
      window('wa-find-messages-client-gives-up', 10),
      quiet,
      'wa-find-messages-client-gives-up',
    ],
  },
  {
    title: 'while something is broken',
    options: { query_timeout_ms: 150 },
    steps: [
      openWa2,
      trouble({ send: 'socket_ends_during_number_check' }),
      'wa-send-text-socket-ends-during-number-check',
      trouble({ send: 'socket_ends_during_key_fetch' }),
      'wa-send-text-socket-ends-during-key-fetch',
      trouble({ send: 'number_check_times_out' }),
      ...words(
        'wa-send-text-number-check-times-out wa-send-media-number-check-times-out wa-whatsapp-numbers-times-out',
      ),
      trouble({ send: 'key_fetch_times_out' }),
      'wa-send-text-key-fetch-times-out',
      (stage) => {
        void stage.say('rec-wa2', '5511955550031', 'keys never answered')
        setTimeout(() => stage.one.controls.clearTroubles(), 50)
        return new Promise((resolve) => setTimeout(resolve, 70))
      },
      'wa-send-text-behind-a-stuck-send',
      trouble({ send: 'device_list_times_out' }),
      'wa-send-text-device-list-times-out',
      trouble({ send: 'row_not_stored' }),
      'wa-send-text-database-insert-fails',
      trouble({}),
      quiet,
      (stage) => stage.say('rec-wa2', ANA, 'warm2'),
      (stage) => new Promise((resolve) => setTimeout(() => resolve(stage), 80)),
      trouble({ send: 'network_stalls' }),
      'wa-send-text-network-stalls-cached',
      (stage) => stage.one.controls.disconnect('rec-wa2', 428),
      'wa-webhooks-network-stalls',
      quiet,
      trouble({ send: 'socket_ends_on_message' }),
      ...words('wa-send-text-socket-ends-on-message wa-webhooks-send-text-socket-ends-on-message'),
      well('rec-wa2'),
      'wa-send-text-right-after-reconnect',
      trouble({ endless_connecting: true }),
      ...words(`wa-send-text-unreachable-cached wa-send-text-unreachable-new-number wa-send-media-unreachable
        wa-send-reaction-unreachable wa-mark-message-as-read-unreachable wa-send-presence-unreachable
        wa-whatsapp-numbers-unreachable`),
    ],
  },
]
