import { ANA, anyOrder, incoming, mediaFrom, quiet, SINK, trouble, webhookTo, well, words } from './recordings-steps.js'
import { sleep } from './recordings-stage.js'
import type { Action, Story } from './recordings-steps.js'

const dropped =
  (code: number): Action =>
  async (stage) => {
    await stage.quiet()
    stage.one.controls.disconnect('rec-wa', code)
  }

const DROPS = {
  'wa-webhooks-drop-428-socket-closed': 428,
  'wa-webhooks-drop-503': 503,
  'wa-webhooks-drop-515-restart': 515,
  'wa-webhooks-drop-440-replaced': 440,
}

/** Three that make one instance, until they met as the recorded ones did: it is a matter of milliseconds. */
const raceToCreate =
  (name: string): Action =>
  async (stage) => {
    const isThere = () => stage.one.controls.instances().some((instance) => instance.name === name)
    for (let round = 0; round < 50; round++) {
      await Promise.all([1, 2, 3].map(() => stage.create(name).catch(() => undefined)))
      if (!isThere()) return
      await stage.delete(name)
    }
  }

/** How instances come, connect and go. */
export const connectionStories: Story[] = [
  {
    title: 'without any instance',
    steps: [
      ...words(`root-get route-not-found healthz-like-not-found-without-key verify-creds-ok verify-creds-wrong-key
        connect-unknown connection-state-unknown connection-state-unknown-no-key delete-unknown
        send-text-unknown-instance webhook-find-unknown-instance fetch-instances-by-id-unknown
        fetch-instances-by-name-unknown fetch-instances-no-key fetch-instances-wrong-key`),
    ],
  },
  {
    title: 'creating',
    steps: [
      ...words(`create-malformed-json create-no-apikey create-wrong-apikey create-no-integration
        create-unknown-integration create-number-bad-format create-webhook-without-events
        create-instance-name-not-string create-no-instance-name create-business-without-number
        connection-state-after-failed-create create-webhook-unknown-event create-empty-instance-name
        create-evolution-minimal create-evolution-ok-webhook-empty-events`),
      raceToCreate('rec-race'),
      'race-after-connection-state',
    ],
  },
  {
    title: 'never connected',
    steps: [
      'create-baileys-no-qrcode',
      (stage) => stage.create('rec-bai'),
      ...words(`connection-state-baileys-close send-text-baileys-never-connected restart-baileys-close
        restart-baileys-offline logout-baileys-close logout-baileys-connecting delete-baileys-close`),
    ],
  },
  {
    title: 'WhatsApp unreachable from the start',
    steps: [
      trouble({ endless_connecting: true }),
      ...words(`create-baileys-qrcode-offline webhooks-baileys-offline-loop connect-baileys-offline
        connection-state-baileys-offline fetch-instances-baileys-offline send-text-baileys-empty-text
        send-text-baileys-not-connected send-media-baileys-not-connected whatsapp-numbers-baileys-not-connected
        webhooks-logout-baileys-connecting`),
      trouble({ no_qr: true }),
      () => sleep(80),
      quiet,
      ...words('connection-state-after-logout delete-baileys-connecting webhooks-delete-baileys'),
      'connection-state-after-delete',
    ],
  },
  {
    title: 'keys, names, the other server, validation',
    steps: [
      (stage) =>
        stage.create('rec-wab', {
          token: 'GRAPH-TOKEN-1',
          rejectCall: true,
          msgCall: 'no calls',
          groupsIgnore: true,
          webhook: {
            url: `${stage.here(SINK)}/hook`,
            base64: true,
            headers: { authorization: 'Bearer gw-secret', 'x-extra': '1' },
            events: words(`QRCODE_UPDATED CONNECTION_UPDATE MESSAGES_UPSERT MESSAGES_UPDATE MESSAGES_DELETE SEND_MESSAGE
              CONTACTS_UPSERT LOGOUT_INSTANCE REMOVE_INSTANCE INSTANCE_CREATE INSTANCE_DELETE STATUS_INSTANCE`),
          },
        }),
      (stage) => stage.link('rec-wab'),
      (stage) => stage.create('rec-evo', { token: 'EVO-TOKEN' }),
      ...words(`connection-state-exists-no-key connection-state-instance-token connection-state-other-instances-token
        connection-state-open connect-business-open create-duplicate-same-server create-duplicate-other-server
        connect-from-other-server connection-state-from-other-server restart-from-other-server send-text-other-server
        webhook-find-from-other-server webhook-set-from-other-server delete-wrong-key send-text-wrong-key settings-find
        webhook-find-ok send-text-missing-number send-text-missing-text send-text-no-body send-text-number-not-string
        send-text-delay-as-string send-text-malformed-json send-text-v1-body-shape send-media-bad-mediatype
        send-media-data-uri send-media-localhost-url send-media-missing-media
        send-media-document-base64-without-filename send-audio-missing`),
      (stage) => stage.create('rec-evo-min'),
      ...words(`webhook-find-none-set webhook-set-ok webhook-set-disabled webhook-set-url-not-http
        webhook-set-without-events webhook-set-unknown-event webhook-set-missing-url webhook-set-flat-body`),
      (stage) => stage.link('rec-evo-min'),
      ...words('delete-from-other-server connection-state-after-delete-from-other-server'),
      'delete-after-delete-from-other-server',
      async (stage) => {
        await fetch(`${stage.one.url}/instance/delete/rec-wab`, {
          method: 'DELETE',
          headers: { apikey: 'global-key-for-tests' },
        })
        await stage.quiet()
      },
      'connection-state-immediately-gone',
    ],
  },
  {
    title: 'a delete whose webhook fails',
    steps: [
      ...words(`create-with-failing-webhook delete-with-failing-webhook
        connection-state-15s-after-delete-with-failing-webhook create-same-name-15s-after-delete-with-failing-webhook`),
    ],
  },
  {
    title: 'from create to delete',
    steps: [
      ...words('wa-create-with-qrcode wa-webhooks-create-until-qr wa-connect-while-qr wa-connection-state-while-qr'),
      (stage) => stage.quiet(),
      (stage) => stage.link('rec-wa'),
      ...words('wa-webhooks-scan-until-open wa-connection-state-open wa-fetch-instances-open wa-connect-while-open'),
      (stage) => {
        stage.one.controls.teachRecipient('5511000000099', { on_whatsapp: false })
        stage.one.controls.addGroup('120363025246125486@g.us', 'Grupo de teste')
      },
      ...words(
        'wa-whatsapp-numbers wa-send-text-ok wa-webhooks-send-message-delivered-read wa-send-text-cached-number',
      ),
      ...words(
        'wa-send-text-delay-quoted wa-send-text-brazil-9-digit wa-send-text-group-ok wa-send-text-group-unknown',
      ),
      'wa-send-text-not-on-whatsapp',
      quiet,
      ...words(`wa-send-text-lid wa-send-media-image-base64 wa-send-media-image-url wa-send-media-url-unreachable
        wa-send-media-document-base64 wa-send-media-document-unknown-extension wa-send-audio-not-audio`),
      anyOrder('wa-webhooks-send-media'),
      quiet,
      (stage) => stage.one.controls.teachRecipient(ANA, { receipts: 'error' }),
      ...words('wa-send-text-refused-by-whatsapp wa-webhooks-messages-update-error'),
      (stage) => stage.one.controls.teachRecipient(ANA, {}),
      incoming('rec-wa', { text: 'Oi, tudo bem?', key_id: '3AIN000000000001' }),
      'wa-webhooks-messages-upsert-text',
      incoming('rec-wa', { chat: '15511977776666@lid', text: 'from a lid', push_name: 'Bia' }),
      'wa-webhooks-messages-upsert-lid',
      incoming('rec-wa', mediaFrom('image', 'image/jpeg', { caption: 'foto' })),
      'wa-webhooks-messages-upsert-image',
      incoming('rec-wa', mediaFrom('video', 'video/mp4', { caption: 'video' })),
      'wa-webhooks-messages-upsert-video',
      incoming('rec-wa', mediaFrom('audio', 'audio/ogg; codecs=opus')),
      'wa-webhooks-messages-upsert-audio',
      incoming('rec-wa', mediaFrom('document', 'application/pdf', { file_name: 'a.pdf', caption: 'doc' })),
      'wa-webhooks-messages-upsert-document',
      async (stage) => {
        const quoted_key_id = stage.here('3EB07CE375590E435D675A')
        await incoming('rec-wa', { text: 'a reply', quoted_key_id })(stage)
      },
      'wa-webhooks-messages-upsert-quoted',
      (stage) => stage.one.controls.typed('rec-wa', { chat: ANA, text: 'typed on the phone' }),
      'wa-webhooks-messages-upsert-from-me',
      (stage) => stage.one.controls.edit('rec-wa', '3AIN000000000001', 'Oi, tudo bem? (editado)'),
      'wa-webhooks-message-edited',
      (stage) => stage.one.controls.revoke('rec-wa', '3AIN000000000001'),
      'wa-webhooks-message-revoked',
      ...Object.entries(DROPS).flatMap(([recording, code]) => [dropped(code), recording]),
      quiet,
      ...words('wa-restart-open wa-webhooks-restart-open wa-connection-state-after-restart'),
      trouble({ endless_connecting: true }),
      ...words(`wa-webhooks-whatsapp-unreachable wa-connection-state-whatsapp-unreachable
        wa-fetch-instances-whatsapp-unreachable wa-send-text-whatsapp-unreachable-number-cached
        wa-send-text-whatsapp-unreachable-number-not-cached`),
      well('rec-wa'),
      dropped(401),
      ...words(`wa-webhooks-logged-out-by-phone wa-connection-state-logged-out-by-phone
        wa-fetch-instances-logged-out-by-phone wa-send-text-logged-out`),
      (stage) => stage.link('rec-wa'),
      quiet,
      ...words('wa-logout-open wa-webhooks-logout-open wa-connection-state-after-logout wa-connect-after-logout'),
      (stage) => stage.link('rec-wa'),
      quiet,
      ...words('wa-delete-open wa-webhooks-delete-open wa-connection-state-after-delete'),
    ],
  },
  {
    title: 'pairing code',
    steps: words('wa-create-with-number-pairing-code wa-webhooks-pairing-code wa-delete-while-qr'),
  },
  {
    title: 'QR limit',
    options: { qr_limit: 2, qr_rotate_seconds: 0.3 },
    steps: [
      async (stage) => {
        const webhook = webhookTo(stage, '/qrlimit', undefined, ['QRCODE_UPDATED', 'CONNECTION_UPDATE'])
        await stage.create('rec-qrlimit', { qrcode: true, ...webhook }, stage.two)
      },
      ...words(`wa-send-text-while-qr-is-shown wa-webhooks-qr-limit wa-connection-state-after-qr-limit
        wa-fetch-after-qr-limit wa-connect-after-qr-limit`),
    ],
  },
  {
    title: 'a restart of the server',
    steps: [
      (stage) => stage.create('rec-wr', webhookTo(stage, '/wr')),
      (stage) => stage.link('rec-wr', '5511911110012'),
      quiet,
      (stage) => stage.restartServerOne(),
      ...words('wa-webhooks-server-restart wa-connection-state-after-server-restart wa-send-text-after-server-restart'),
      trouble({ zombie: true }),
      'wa-connection-state-after-redis-loss',
    ],
  },
]
