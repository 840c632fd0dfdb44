import { connectionStories } from './support/recordings-connection-stories.js'
import { messageStories } from './support/recordings-message-stories.js'
import { Stage } from './support/recordings-stage.js'
import { words, type Action } from './support/recordings-steps.js'
import { exchanges, webhookRecordings } from './support/recordings.js'

/** Recordings the sandbox does not play, each with its reason. */
const OUT_OF_SCOPE: Record<string, string[]> = {
  'WHATSAPP-BUSINESS: the product places numbers on Baileys only': words(`
    chat-whatsapp-numbers-business connect-business-after-logout connection-state-business-after-logout
    connection-state-business-after-server-restart create-business-ok delete-business-ok fetch-instances-all
    fetch-instances-by-name fetch-instances-by-number fetch-instances-with-instance-token logout-business
    logout-business-again meta-webhook-incoming-text send-audio-base64-ok send-audio-url-ok send-media-base64-ok
    send-media-document-base64-ok send-media-ip-url send-media-url-ok send-text-business-after-logout
    send-text-business-ok send-text-business-options send-text-empty-text send-text-graph-error
    send-text-query-overrides-path-instance webhooks-after-create-business webhooks-delete-business
    webhooks-messages-update-business-delivered webhooks-messages-update-business-failed
    webhooks-messages-update-business-read webhooks-messages-update-business-sent
    webhooks-messages-upsert-business-audio webhooks-messages-upsert-business-document
    webhooks-messages-upsert-business-image webhooks-messages-upsert-business-redelivery
    webhooks-messages-upsert-business-text webhooks-send-media-business webhooks-send-message-business`),
  'EVOLUTION, a channel without WhatsApp: its sends have a shape of their own': words(`
    delete-evolution-open evolution-webhook-incoming send-text-15s-after-delete-with-failing-webhook
    send-text-evolution-ok send-text-group send-text-instance-token send-text-with-failing-webhook
    webhooks-after-create-evolution-byevents webhooks-messages-upsert-evolution-byevents
    webhooks-send-message-evolution-byevents`),
  'told of an EVOLUTION instance; retries, tokens and paths are tested in src/sandbox/engine/webhook-poster.test.ts':
    words('webhooks-jwt-key webhooks-no-retry-after-400 webhooks-retries-after-500 webhooks-timeout-retry'),
  'CACHE_REDIS_SAVE_INSTANCES=true, a setting that must not be used': words(`
    save-instances-1-create-on-server-1 save-instances-2-same-name-on-server-2 save-instances-3-fetch-on-server-1
    save-instances-4-send-on-server-1`),
  'a fault by chance: one upload in ten was empty': words('wa-get-base64-sent-image'),
}

const recorded = [...exchanges.keys(), ...webhookRecordings.keys()]
const stories = [...connectionStories, ...messageStories]

describe('the recordings', () => {
  it('are each played or known to be out of scope', () => {
    const played = stories
      .flatMap(({ steps }) => steps)
      .flatMap((step) => (typeof step === 'function' ? [] : [nameOf(step)]))
    const known = [...played, ...Object.values(OUT_OF_SCOPE).flat()]
    expect(recorded.filter((name) => !known.includes(name))).toEqual([])
    expect(known.filter((name) => !recorded.includes(name))).toEqual([])
  })
})

describe.each(stories)('the sandbox, $title', ({ steps, options = {} }) => {
  const stage = new Stage(options)
  beforeAll(() => stage.open())
  afterAll(() => stage.close())

  let before: Action[] = []
  for (const step of steps) {
    if (typeof step === 'function') {
      before.push(step)
      continue
    }
    const actions = before
    before = []
    it(`answers as recorded in ${nameOf(step)}`, async () => {
      for (const act of actions) await act(stage)
      expect(await stage.check(nameOf(step), typeof step === 'object')).toEqual([])
    })
  }
})

function nameOf(step: string | { anyOrder: string }): string {
  return typeof step === 'string' ? step : step.anyOrder
}
