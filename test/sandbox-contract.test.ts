import { connectionStories } from './support/recordings-connection-stories.js'
import { messageStories } from './support/recordings-message-stories.js'
import { Stage } from './support/recordings-stage.js'
import { words, type Action } from './support/recordings-steps.js'
import { exchanges, webhookRecordings } from './support/recordings.js'

/** Recordings the sandbox does not play, each with its reason. */
const OUT_OF_SCOPE: Record<string, string[]> = {
  'the WHATSAPP-BUSINESS channel: the product places numbers on Baileys only': words(`
    chat-whatsapp-numbers-business connect-business-after-logout connect-business-open-after-restart
    connection-state-business-after-logout connection-state-business-after-server-restart create-business-ok
    delete-business-ok fetch-instances-all fetch-instances-by-name fetch-instances-by-number
    fetch-instances-with-instance-token logout-business logout-business-again meta-webhook-incoming-text
    send-audio-base64-ok send-audio-url-ok send-media-base64-ok send-media-document-base64-ok send-media-ip-url
    send-media-url-ok send-text-business-after-logout send-text-business-ok send-text-business-options
    send-text-empty-text send-text-graph-error send-text-query-overrides-path-instance
    webhooks-after-create-business webhooks-delete-business webhooks-messages-update-business-delivered
    webhooks-messages-update-business-failed webhooks-messages-update-business-read
    webhooks-messages-update-business-sent webhooks-messages-upsert-business-audio
    webhooks-messages-upsert-business-document webhooks-messages-upsert-business-image
    webhooks-messages-upsert-business-redelivery webhooks-messages-upsert-business-text webhooks-send-media-business
    webhooks-send-message-business`),
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
