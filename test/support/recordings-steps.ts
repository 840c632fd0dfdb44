import type { Stage } from './recordings-stage.js'
import type { SandboxOptions } from '../../src/sandbox/server.js'

export type Action = (stage: Stage) => unknown
export type Step = string | { anyOrder: string } | Action

export interface Story {
  title: string
  options?: Partial<SandboxOptions>
  /** Names of recordings to play, and what happens between them. */
  steps: Step[]
}

export const SINK = 'http://127.0.0.1:8099'
export const ANA = '5511987654321'
export const GIF = 'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'

/** Names of recordings, one after the other. */
export const words = (text: string): string[] => text.trim().split(/\s+/)
export const quiet: Action = (stage) => stage.quiet()
export const anyOrder = (name: string): Step => ({ anyOrder: name })

const EVENTS = words(
  `QRCODE_UPDATED CONNECTION_UPDATE STATUS_INSTANCE MESSAGES_UPSERT MESSAGES_UPDATE MESSAGES_EDITED MESSAGES_DELETE
   SEND_MESSAGE SEND_MESSAGE_UPDATE LOGOUT_INSTANCE REMOVE_INSTANCE INSTANCE_DELETE`,
)
export const webhookTo = (stage: Stage, path: string, headers?: Record<string, string>, events = EVENTS) => ({
  webhook: { url: stage.here(SINK) + path, headers, events },
})
/** The instance of the second series of recordings, connected. */
export const openWa2: Action = async (stage) => {
  await stage.create('rec-wa2', webhookTo(stage, '/w2', { authorization: 'Bearer gw-secret' }))
  await stage.link('rec-wa2', '5511911110020')
  await stage.quiet()
}
export const trouble =
  (troubles: Parameters<Stage['one']['controls']['setTroubles']>[0]): Action =>
  (stage) => {
    stage.one.controls.clearTroubles()
    stage.one.controls.setTroubles(troubles)
  }
export const well =
  (name: string): Action =>
  async (stage) => {
    stage.one.controls.clearTroubles()
    await stage.until(() => stage.one.controls.instance(name).state === 'open')
    await stage.quiet()
  }
export const incoming =
  (name: string, written: Record<string, unknown>): Action =>
  async (stage) => {
    await stage.quiet()
    stage.one.controls.incoming(name, { chat: ANA, ...written })
  }
export const mediaFrom = (type: 'image' | 'video' | 'audio' | 'document', mimetype: string, more = {}) => ({
  media: { type, mimetype, base64: GIF, ...more },
})
