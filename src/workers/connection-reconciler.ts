import { EngineUnreachable } from '../clients/engine-http.js'
import { Semaphore } from '../clients/semaphore.js'
import * as connectionChecks from '../db/connection-checks.js'
import type { Due, Outcome } from '../db/connection-checks.js'
import type { Database } from '../db/database.js'
import * as linkPages from '../db/link-pages.js'
import * as numberPlacement from '../db/number-placement.js'
import * as numberStates from '../db/number-states.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import * as statusChanges from '../db/status-changes.js'
import type { Logger } from '../logger.js'
import { type Decision, decide } from '../services/connection-rules.js'
import { engineNameOf } from '../services/engine-names.js'
import { type InstanceService } from '../services/instances.js'
import { adviceFor } from '../services/number-advice.js'
import type { NumberChanges } from '../services/number-changes.js'

/** A reconnect shorter than this is nobody's business. */
const GRACE_SECONDS = 60
/** After so long without a drop a number that came and went is told about again. */
const CALM_SECONDS = 600
const BATCH = 500
const LEASE_SECONDS = 60
/** Looks at the same time per server. */
const PER_SERVER = 4
/** Webhook and settings are read back from the engine this often. */
const READ_BACK_MS = 3_600_000
const UNREACHED_SECONDS = 30
const LINKING_SECONDS = 60
const HISTORY_DAYS = 90
const PRUNE_BATCH = 5_000

/** Notices what the engine does not say, and mends what can be mended without a scan. */
export class ConnectionReconciler {
  private readonly rooms = new Map<string, Semaphore>()
  /** What each server has stored, asked for once a round at most. */
  private readonly stored = new Map<string, Promise<Set<string>>>()

  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
    private readonly changes: NumberChanges,
    private readonly log: Logger,
    private readonly options: { unlinked_minutes: number },
  ) {}

  /** One round; answers how many numbers were looked at. */
  async runOnce(graceSeconds = GRACE_SECONDS, now?: Date): Promise<number> {
    this.stored.clear()
    const stalled = await numberStates.listStalled(this.db, graceSeconds)
    await Promise.all(stalled.map((phone) => this.giveUp(phone)))
    for (const id of await numberStates.listCalm(this.db, CALM_SECONDS)) await this.changes.calm(id)
    await connectionChecks.suspectClosed(this.db, now)
    let looked = 0
    for (;;) {
      const { claimed, due } = await connectionChecks.claimDue(this.db, BATCH, LEASE_SECONDS, now)
      const outcomes = await Promise.all(due.map((one) => this.look(one, now ?? new Date())))
      await connectionChecks.record(this.db, outcomes, now)
      looked += due.length
      if (claimed < BATCH) return looked
    }
  }

  /** What is only inferred from statistics, and therefore looked for rarely. */
  async suspect(now?: Date): Promise<void> {
    await connectionChecks.suspectSilent(this.db, now)
    await connectionChecks.suspectDegraded(this.db, now)
  }

  /** Numbers nobody links cost a socket each: their instances leave the engine until somebody asks again. */
  async parkUnlinked(minutes = this.options.unlinked_minutes): Promise<number> {
    if (minutes === 0) return 0
    let parked = 0
    const silent = new Set<string>()
    for (const phone of await numberPlacement.listUnlinked(this.db, minutes, BATCH))
      if (!silent.has(phone.server_instance) && (await this.parkUnlessOpen(phone, silent))) parked++
    return parked
  }

  /**
   * The engine is asked first: an event that says a phone has scanned may be late by minutes, and a session that is
   * removed cannot be had back. Whoever lost the link for another reason keeps that reason.
   */
  private async parkUnlessOpen(phone: numberPlacement.Unlinked, silent: Set<string>): Promise<boolean> {
    try {
      if (!phone.disabled && (await this.instances.look(phone)) === 'open') {
        await this.changes.apply(phone, { kind: 'state', state: 'open', reason: null, phone_number: null })
        return false
      }
    } catch (err) {
      if (!(err instanceof EngineUnreachable)) throw err
      if (!err.code.startsWith('HTTP_')) silent.add(phone.server_instance)
      return false
    }
    const { engine_generation, status, status_reason } = phone
    const when = (now: PhoneNumber) =>
      now.engine_generation === engine_generation && now.status === status && now.status_reason === status_reason
    return this.changes.park(phone.id, status === 'disconnected' ? null : 'qr_expired', { when })
  }

  /** History is kept as long as the uptime of a quarter needs it. */
  async prune(): Promise<void> {
    while ((await statusChanges.prune(this.db, HISTORY_DAYS, PRUNE_BATCH)) === PRUNE_BATCH);
    await linkPages.prune(this.db)
  }

  /**
   * A reconnect has taken too long, unless the engine says that it is over: its events may come in the wrong order, as
   * they do when it had to repeat them.
   */
  private async giveUp(phone: numberStates.Stalled): Promise<void> {
    try {
      await this.roomOf(phone.server_instance).run(async () => {
        const state = await this.instances.look(phone)
        if (state === 'open')
          await this.changes.apply(phone, { kind: 'state', state, reason: null, phone_number: null })
        else if (state !== 'missing' && state !== 'elsewhere') await this.changes.giveUp(phone.id)
      })
    } catch (err) {
      if (!(err instanceof EngineUnreachable)) throw err
      // A server that does not answer is the operator's trouble; the next round asks again.
    }
  }

  private async look(due: Due, now: Date): Promise<Outcome> {
    try {
      return await this.roomOf(due.server_instance).run(async () => {
        const seen = decide(due, await this.instances.look(due), now)
        const decision = seen.action === 'park' && (await this.isStored(due)) ? stillLoading(seen) : seen
        await this.carryOut(due, decision)
        return { ...decision, phone_number_id: due.id, applied: await this.keepConfigured(due, decision, now) }
      })
    } catch (err) {
      if (!(err instanceof EngineUnreachable))
        this.log.warn({ err, phone_number_id: due.id }, 'a number could not be looked at')
      const { id, problem, missing, restarts } = due
      const rest = { phone_number_id: id, problem, missing, restarts, no_restart_seconds: null, applied: null }
      return { ...rest, next_seconds: UNREACHED_SECONDS }
    }
  }

  /** A session that is given up cannot be had back, so four times "not there" are held against the engine's database. */
  private async isStored(due: Due): Promise<boolean> {
    const stored = this.stored.get(due.server_instance) ?? this.instances.listStored(due.server_instance)
    this.stored.set(due.server_instance, stored)
    return (await stored).has(engineNameOf(due))
  }

  private async carryOut(due: Due, { action, learn, problem, tell }: Decision): Promise<void> {
    if (learn) await this.changes.apply(due, { kind: 'state', state: learn, reason: null, phone_number: null })
    if (action === 'none') return
    this.log.info({ phone_number_id: due.id, action, problem: problem ?? due.problem }, 'a connection is mended')
    if (tell) await this.tellProblem(due)
    if (action === 'park') await this.changes.park(due.id, 'instance_lost', sameLife(due))
    if (action === 'restart') await this.instances.restart(due)
    if (action === 'connect') await this.connect(due)
  }

  private tellProblem(due: Due): Promise<void> {
    const reason = due.sends_fail ? 'connection_closed' : due.problem!
    return this.changes.tellDegraded(due.id, { reason, advice: adviceFor(reason) })
  }

  /** Under the lock of linking: two who connect open two sockets. */
  private async connect(due: Due): Promise<void> {
    if (!(await numberPlacement.claimLinking(this.db, due.id, LINKING_SECONDS))) return
    try {
      await this.instances.connect(due)
    } finally {
      await numberPlacement.releaseLinking(this.db, due.id)
    }
  }

  /** The fingerprint of what the engine is known to have now; null when it was not looked at. */
  private async keepConfigured(due: Due, { present }: Decision, now: Date): Promise<string | null> {
    if (!present) return null
    const wanted = this.instances.fingerprint(due)
    const recent = due.settings_at !== null && now.getTime() - due.settings_at.getTime() < READ_BACK_MS
    if (due.applied === wanted && recent) return null
    const isRight = due.applied === wanted && (await this.instances.isConfigured(due))
    if (isRight || (await this.instances.configure(due))) return wanted
    return null
  }

  private roomOf(server: string): Semaphore {
    const room = this.rooms.get(server) ?? new Semaphore(PER_SERVER)
    this.rooms.set(server, room)
    return room
  }
}

const stillLoading = (seen: Decision): Decision => ({ ...seen, action: 'none', missing: 0 })

const sameLife = (due: Due) => ({
  when: (phone: { engine_generation: number }) => phone.engine_generation === due.engine_generation,
})
