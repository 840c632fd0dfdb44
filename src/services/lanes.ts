import type { Bus } from '../cache/bus.js'
import type { ServerPool } from '../clients/server-pool.js'
import { type Database, violates } from '../db/database.js'
import { GroupCommit } from '../db/group-commit.js'
import * as heldMessages from '../db/held-messages.js'
import * as laneRows from '../db/lanes.js'
import * as outgoing from '../db/outgoing-messages.js'
import type { Claimed } from '../db/outgoing-messages.js'
import type { Message } from '../db/messages.js'
import type { Logger } from '../logger.js'
import { type Accepted, type Draft, accept } from './acceptance.js'
import { endingOf } from './ending.js'
import type { Outcome } from './outcomes.js'
import { Posting } from './posting.js'
import { type Ending, type Settled, settle } from './settlement.js'
import type { WaitingRoom } from './waiting-room.js'

/** This process as the others see it; a message is posted only while nobody can have taken it over. */
export interface Membership {
  readonly id: number
  isAlive(): boolean
}

interface Options {
  gap_seconds: number
}

/** A longer file is read again when its turn comes: those who wait for it would fill the memory. */
const KEPT_BYTES = 256 * 1024
/** Lanes looked at in one transaction. */
const BATCH = 100
/** A claim older than every commit still under way by this much is known here, or its commit was never answered. */
const LOST_AFTER_MS = 10_000

/**
 * Sends what waits in the lanes: one message at a time per phone number, at a human pace. A claim belongs to this
 * process until it is settled; whatever is still in flight when the process dies ends as `unconfirmed`.
 */
export class Lanes {
  private readonly accepting: GroupCommit<Draft, Accepted>
  private readonly settling: GroupCommit<Ending, Settled>
  /** What this process has in its hands, by message. */
  private readonly running = new Map<number, Promise<void>>()
  /** Commits under way that may claim messages: when each began. */
  private readonly claiming = new Set<{ since: number }>()
  private readonly held = new Map<number, () => void>()
  private readonly posting: Posting
  private stopping = false

  constructor(
    private readonly db: Database,
    pool: ServerPool,
    private readonly bus: Bus,
    private readonly process: Membership,
    private readonly waitingRoom: WaitingRoom,
    options: Options,
    private readonly log: Logger,
  ) {
    const { gap_seconds } = options
    this.posting = new Posting(db, pool, process, log)
    this.accepting = new GroupCommit((drafts) =>
      this.whileClaiming(() => accept(db, drafts, { process_id: process.isAlive() ? process.id : undefined })),
    )
    this.settling = new GroupCommit((endings) =>
      this.whileClaiming(() =>
        settle(db, endings, { gap_seconds, process_id: !this.stopping && process.isAlive() ? process.id : null }),
      ),
    )
  }

  /** Messages that wait to be committed: the measure of overload. */
  get backlog() {
    return { depth: this.accepting.depth, age_ms: this.accepting.age }
  }

  /** Takes a message over durably and, when its lane is idle, starts sending it. */
  async accept(draft: Draft, route: Route): Promise<Accepted> {
    const accepted = await this.accepting.add(draft)
    const { id, claim } = accepted
    const bytes = draft.bytes && draft.bytes.length <= KEPT_BYTES ? draft.bytes : undefined
    if (claim) this.start(claimedOf(id, draft, claim, route), bytes)
    else this.bus.tell('lanes.due', {})
    return accepted
  }

  /** Claims and starts what is due in lanes that nobody is working on. */
  async runDue(): Promise<void> {
    for (let looked = BATCH; looked === BATCH;) {
      if (this.stopping || !this.process.isAlive()) return
      const claimed = await this.whileClaiming(() =>
        this.db.transaction(async (tx) => {
          const due = await laneRows.lockDue(tx, BATCH)
          looked = due.length
          return tx.commitWith(laneRows.takeNext(tx, this.process.id, due))
        }),
      )
      for (const message of claimed) this.start(message)
    }
  }

  /**
   * Puts back what was claimed by commits whose answer never came: it is this process's, which has never heard of it
   * and so has not posted it. Answers how many.
   */
  async recoverLost(lostAfterMs = LOST_AFTER_MS): Promise<number> {
    const now = Date.now()
    const unanswered = Math.max(0, ...[...this.claiming].map(({ since }) => now - since))
    const held = await heldMessages.list(this.db, this.process.id, (unanswered + lostAfterMs) / 1000)
    const lost = held.filter(({ id }) => !this.running.has(id))
    for (const message of lost) {
      this.log.warn({ message_id: message.id }, 'a claim whose commit was not answered goes back into its lane')
      await this.finish(message, undefined)
    }
    return lost.length
  }

  /** Lets go of what has not begun, waits for what has, and gives up on it after `graceMs`. */
  async stop(graceMs = 8_000): Promise<void> {
    this.stopping = true
    for (const letGo of this.held.values()) letGo()
    let timer: NodeJS.Timeout | undefined
    let patient = true
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs))).then(
      () => (patient = false),
    )
    // What is accepted meanwhile goes back into its lane, which takes a commit too.
    while (patient && this.running.size > 0)
      await Promise.race([Promise.allSettled([...this.running.values()]), patience])
    clearTimeout(timer)
  }

  private start(message: Claimed, bytes?: Buffer) {
    const run = this.send(message, bytes).catch((err: unknown) =>
      this.log.error(
        { err, message_id: message.id },
        'a send could not be settled; it will be taken over as unconfirmed',
      ),
    )
    this.running.set(message.id, run)
    void run.finally(() => this.running.get(message.id) === run && this.running.delete(message.id))
  }

  private async send(message: Claimed, bytes?: Buffer): Promise<void> {
    const outcome = (await this.waitForTurn(message)) ? await this.tryToPost(message, bytes) : undefined
    if (outcome !== 'not ours') await this.finish(message, outcome)
  }

  private async finish(message: outgoing.Held, outcome: Outcome | undefined): Promise<void> {
    const settled = await this.record(endingOf(message, outcome))
    if (settled.message) this.tell(settled.message)
    if (settled.next) this.start(settled.next)
  }

  /** Whoever waits here for the outcome gets it as it was written, without another look into the database. */
  private tell(message: Message) {
    if (message.status !== 'queued') this.waitingRoom.bring('message.changed', message.id, message)
    this.bus.tell('message.changed', { id: message.id })
  }

  private async whileClaiming<T>(commit: () => Promise<T>): Promise<T> {
    const mark = { since: Date.now() }
    this.claiming.add(mark)
    try {
      return await commit()
    } finally {
      this.claiming.delete(mark)
    }
  }

  /** Waits out the gap; false when the process stops first. */
  private waitForTurn(message: Claimed): Promise<boolean> {
    if (this.stopping) return Promise.resolve(false)
    const delay = message.starts_at.getTime() - Date.now()
    if (delay <= 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (turn: boolean) => {
        clearTimeout(timer)
        this.held.delete(message.id)
        resolve(turn)
      }
      const timer = setTimeout(end, delay, true)
      this.held.set(message.id, () => end(false))
    })
  }

  /** Whatever the engine does is an outcome; what throws comes before the call. */
  private async tryToPost(message: Claimed, bytes?: Buffer): Promise<Outcome | 'not ours' | undefined> {
    try {
      return await this.post(message, bytes)
    } catch (err) {
      this.log.error({ err, message_id: message.id }, 'a send could not be begun; it is tried again')
      return { kind: 'wait', reason: 'server_unreachable', text: '' }
    }
  }

  /** Until it is its turn with the server, the process may stop and let go of it. */
  private post(message: Claimed, bytes?: Buffer): Promise<Outcome | 'not ours' | undefined> {
    if (this.stopping) return Promise.resolve(undefined)
    const letGo = new Promise<undefined>((resolve) => this.held.set(message.id, () => resolve(undefined)))
    const begin = () => {
      if (!this.stopping) this.held.delete(message.id)
      return !this.stopping
    }
    const posted = this.posting.post(message, begin, bytes)
    return Promise.race([posted, letGo]).finally(() => this.held.delete(message.id))
  }

  /** Another message of ours has it; that this one went out is known all the same. */
  private withoutId(ending: Ending, err: unknown): Ending {
    this.log.error({ err, message_id: ending.id }, 'its WhatsApp id is that of another message')
    return { ...ending, whatsapp_id: null }
  }

  private forgetEcho({ phone_number_id, whatsapp_id }: Ending): Promise<boolean> {
    return outgoing.forgetEcho(this.db, phone_number_id, whatsapp_id).catch(() => true) // the next try tells
  }

  /** The outcome is known and must not be lost: while the database is away it is offered again. The fence decides. */
  private async record(ending: Ending): Promise<Settled> {
    let known = ending
    for (let wait = 200; ; wait = Math.min(wait * 2, 5_000)) {
      try {
        return await this.settling.add(known)
      } catch (err) {
        if (this.stopping) throw err
        if (violates(err, 'messages_whatsapp_id_key') && !(await this.forgetEcho(known)))
          known = this.withoutId(known, err)
        this.log.warn({ err, message_id: ending.id }, 'the outcome of a send could not be written yet')
        await new Promise((resolve) => setTimeout(resolve, wait))
      }
    }
  }
}

/** What the claim would answer if it were read back. */
function claimedOf(id: number, draft: Draft, { process_id, starts_at }: outgoing.Claim, route: Route): Claimed {
  const { user_id, phone_number_id, type, recipient, content, reply_to } = draft
  const claimed = { process_id, starts_at, attempts: 1, engine_errors: 0 }
  const message = { id, user_id, phone_number_id, type, recipient, content, reply_to }
  return Object.assign(message, claimed, route)
}

/** Where a message goes out: its number's instance and server. */
export type Route = Pick<Claimed, 'engine_name' | 'server_instance'>
