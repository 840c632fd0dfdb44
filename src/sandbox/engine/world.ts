import type { SandboxSettings } from '../options.js'
import type { SandboxDatabase } from '../store/database.js'
import type { Directory } from './directory.js'
import type { Timers } from './timers.js'
import type { TroubleBoard } from './troubles.js'
import type { WebhookPoster } from './webhook-poster.js'

/** What every part of one sandbox server needs to know of the others. */
export interface World {
  settings: SandboxSettings
  database: SandboxDatabase
  directory: Directory
  troubles: TroubleBoard
  poster: WebhookPoster
  /** They end when the server closes. */
  timers: Timers
  /** Messages marked as read that really reached WhatsApp. */
  reads: { instance: string; id: string; remoteJid: string }[]
  serverUrl: () => string
}
