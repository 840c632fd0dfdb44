import { EngineUnreachable, type EngineAnswer } from '../clients/engine-http.js'
import type { EvolutionClient } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { Database } from '../db/database.js'
import * as media from '../db/media.js'
import type { Claimed } from '../db/outgoing-messages.js'
import type { Logger } from '../logger.js'
import { ByteRoom } from './byte-room.js'
import { enginePayload, hasMedia } from './engine-payloads.js'
import { stateIn } from './instances.js'
import type { Membership } from './lanes.js'
import { type Outcome, judgeAnswer, judgeSilence } from './outcomes.js'

/** Files on their way to one server at a time: each takes four times its length. */
const FILES_BYTES = 24 * 1024 * 1024
/** Smaller ones take no room. */
const SMALL = 256 * 1024
/** An engine that has not answered by then is stuck, and must not hold up the files of others … */
const HOLDS_MS = 15_000
/** … unless so many bytes are stuck with it already. */
const STUCK_BYTES = FILES_BYTES

interface Room {
  files: ByteRoom
  /** Bytes that are with the engine for so long that they have left the room. */
  stuck: number
}

/** Posts one message to its engine, as soon as that has room, and judges what came of it. */
export class Posting {
  private readonly rooms = new Map<string, Room>()

  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly process: Membership,
    private readonly log: Logger,
  ) {}

  /**
   * `begin` is asked when it is its turn: nothing is posted where it answers false (undefined), or where the message has
   * been taken over meanwhile (`not ours`).
   */
  async post(message: Claimed, begin: () => boolean, kept?: Buffer): Promise<Outcome | 'not ours' | undefined> {
    const { server_instance, user_id } = message
    const bytes = hasMedia(message.type) ? Number(message.content.size ?? 0) : 0
    // Large files stand in a line of their own, so that texts pass them.
    const leave = bytes > SMALL ? await this.roomOf(server_instance).files.enter({ user_id, bytes }).inside : undefined
    try {
      return await this.pool.withRoom(server_instance, (client) => {
        const posted = this.postNow(message, client, begin, kept)
        return leave ? this.notHeldUp(server_instance, bytes, leave, posted) : posted
      })
    } finally {
      leave?.()
    }
  }

  private async notHeldUp<T>(server: string, bytes: number, leave: () => void, posted: Promise<T>): Promise<T> {
    const room = this.roomOf(server)
    let stuck = 0
    const timer = setTimeout(() => {
      if (room.stuck + bytes > STUCK_BYTES) return
      room.stuck += stuck = bytes
      leave()
    }, HOLDS_MS)
    return posted.finally(() => {
      clearTimeout(timer)
      room.stuck -= stuck
    })
  }

  private async postNow(message: Claimed, client: EvolutionClient, begin: () => boolean, kept?: Buffer) {
    const base64 = kept?.toString('base64')
    const file = hasMedia(message.type) ? (base64 ?? (await media.findAsBase64(this.db, message.id))) : undefined
    if (!begin()) return undefined
    // Under another id than the claim's, it was declared dead in between and its claims were taken over.
    if (!this.process.isAlive() || this.process.id !== message.process_id) return 'not ours'
    const { route, body } = enginePayload(message, file)
    const started = Date.now()
    const outcome = await client
      .send(route, message.engine_name, body)
      .then((answer) => judge(message, client, answer))
      .catch((err: unknown) => {
        if (err instanceof EngineUnreachable) return judgeSilence(err)
        throw err
      })
    this.report(message, outcome, Date.now() - started)
    return outcome
  }

  private report(message: Claimed, outcome: Outcome, ms: number) {
    const level = outcome.kind === 'sent' ? 'debug' : 'warn' // what went well is in the ledger, with its times
    // The engine's words may quote the message or its recipient, so only the class is logged.
    const reason = outcome.kind === 'wait' ? outcome.reason : outcome.kind === 'failed' ? outcome.code : undefined
    this.log[level](
      { message_id: message.id, server: message.server_instance, outcome: outcome.kind, reason, duration_ms: ms },
      'send',
    )
  }

  private roomOf(server: string): Room {
    const room = this.rooms.get(server) ?? { files: new ByteRoom(FILES_BYTES), stuck: 0 }
    this.rooms.set(server, room)
    return room
  }
}

/** A group that the engine has not met yet is unknown to it while its socket is down, too: then that is the reason. */
async function judge({ recipient, engine_name }: Claimed, client: EvolutionClient, answer: EngineAnswer) {
  const group = recipient.endsWith('@g.us')
  const outcome = judgeAnswer(answer, { group })
  if (!group || outcome.kind !== 'failed' || outcome.code !== 'recipient_not_on_whatsapp') return outcome
  const state = await client.probe(engine_name).then(stateIn, () => undefined)
  if (state === 'open') return outcome
  return { kind: 'wait' as const, reason: 'number_disconnected' as const, text: outcome.message }
}
