import { statfs } from 'node:fs/promises'
import type { AlertChannel, Notice } from '../clients/alert-channel.js'
import * as adminReports from '../db/admin-reports.js'
import * as alerts from '../db/alerts.js'
import { type Database, isDatabaseDown } from '../db/database.js'
import * as ingress from '../db/ingress.js'
import * as servers from '../db/servers.js'
import type { Logger } from '../logger.js'
import type { Placement } from './placement.js'

/** Told only after so long, so that a restart of something is no alarm. */
const AFTER_SECONDS = 45
/** What lasts is told again this often. */
const AGAIN_SECONDS = 6 * 3_600
/** Over only when not seen for so long, so that flapping is one alarm and one all-clear. */
const CALM_SECONDS = 120
/** More unprocessed events than this are told as "or more". */
export const COUNTED = 1_000
const DISK_FREE_SHARE = 0.05
const DISK_FREE_BYTES = 500 * 1024 * 1024

interface Trouble {
  key: string
  message: string
}

interface Options {
  age_minutes: number
  data_dir: string
}

/** Finds what the operator must know and tells it once, again after hours, and when it is over. */
export class Alerts {
  private databaseDownSince: Date | undefined
  private databaseDownTold = false

  constructor(
    private readonly db: Database,
    private readonly placement: Placement,
    private readonly channel: AlertChannel | undefined,
    private readonly options: Options,
    private readonly log: Logger,
  ) {}

  async runOnce(now = new Date()): Promise<void> {
    try {
      await this.round(now)
      await this.databaseAnswers(now)
    } catch (err) {
      if (!isDatabaseDown(err) && !isFull(err)) throw err
      await this.databaseFails(isFull(err) ? 'has no disk space left' : 'does not answer', now)
    }
  }

  private async round(now: Date): Promise<void> {
    await alerts.note(this.db, await this.find(now), now)
    await alerts.clearUnseen(this.db, CALM_SECONDS, now)
    for (const alert of await alerts.claimRaised(this.db, {
      after_seconds: AFTER_SECONDS,
      again_seconds: AGAIN_SECONDS,
      now,
    })) {
      const told = await this.tell({ ...alert, state: alert.reminder ? 'reminder' : 'raised', at: now })
      if (!told) await alerts.giveBack(this.db, alert, false, now)
    }
    for (const alert of await alerts.claimCleared(this.db)) {
      const told = await this.tell({ ...alert, state: 'cleared', at: now })
      if (!told) await alerts.giveBack(this.db, alert, true, now)
    }
  }

  private async find(now: Date): Promise<Trouble[]> {
    const troubles = await Promise.all([
      this.poolTroubles(),
      this.backlogTroubles(now),
      this.eventTrouble(),
      this.diskTrouble(),
    ])
    return troubles.flat()
  }

  private async poolTroubles(): Promise<Trouble[]> {
    const [list, rooms] = await Promise.all([servers.list(this.db), this.placement.rooms()])
    const watched = list.filter(({ state }) => state !== 'disabled')
    const ill = watched
      .filter(({ healthy }) => healthy === false)
      .map(({ name, problem, problem_code }) => {
        const numbers = rooms.find((room) => room.name === name)?.placed ?? 0
        return {
          key: `server_${problem_code}:${name}`,
          message: `The Evolution server ${name} ${problem}. Phone numbers on it: ${numbers}.`,
        }
      })
    const twins = watched.flatMap(({ name, duplicate_of, shares_with }) => {
      const other = duplicate_of ?? shares_with
      const message = `The Evolution servers ${name} and ${other} run the same sessions: give each its own DATABASE_CONNECTION_CLIENT_NAME.`
      return other ? [{ key: `duplicate_client_name:${name}`, message }] : []
    })
    const hasRoom = rooms.some((room) => room.takes_numbers && room.placed < room.capacity)
    const full = {
      key: 'no_capacity',
      message: 'No Evolution server can take another phone number. Add a server, or raise a capacity.',
    }
    return [...ill, ...twins, ...(hasRoom ? [] : [full])]
  }

  private async backlogTroubles(now: Date): Promise<Trouble[]> {
    const [sends, deliveries] = await Promise.all([
      adminReports.sendBacklog(this.db),
      adminReports.deliveryBacklog(this.db),
    ])
    const troubles: Trouble[] = []
    if (this.isOld(sends.oldest_waiting_at, now))
      troubles.push({
        key: 'queue_age',
        message: `Messages that could go out have waited for more than ${this.options.age_minutes} minutes (${sends.queued} queued). Is a worker running?`,
      })
    if (this.isOld(deliveries.oldest_due_at, now))
      troubles.push({
        key: 'delivery_age',
        message: `Webhook deliveries have been due for more than ${this.options.age_minutes} minutes (${deliveries.due_webhooks} webhooks). Is a worker running?`,
      })
    return troubles
  }

  private async eventTrouble(): Promise<Trouble[]> {
    const { n, reason } = await ingress.countUnprocessed(this.db, 24, COUNTED)
    return n > 0 ? [{ key: 'unprocessed_events', message: unprocessed(n, reason!) }] : []
  }

  private async diskTrouble(): Promise<Trouble[]> {
    const disk = await statfs(this.options.data_dir).catch(() => undefined)
    if (!disk || disk.blocks === 0) return []
    const free = disk.bavail * disk.bsize
    if (free > DISK_FREE_BYTES && disk.bavail / disk.blocks > DISK_FREE_SHARE) return []
    return [{ key: 'disk', message: `The disk is almost full: ${Math.round(free / 1024 / 1024)} MiB are free.` }]
  }

  private isOld(at: Date | null, now: Date): boolean {
    return at !== null && now.getTime() - at.getTime() > this.options.age_minutes * 60_000
  }

  /** Nothing can be written down now, so each process remembers this by itself. */
  private async databaseFails(how: string, now: Date): Promise<void> {
    this.databaseDownSince ??= now
    if (this.databaseDownTold || now.getTime() - this.databaseDownSince.getTime() < AFTER_SECONDS * 1000) return
    const notice = { key: 'database', message: `PostgreSQL ${how}.`, since: this.databaseDownSince, at: now }
    this.databaseDownTold = await this.tell({ ...notice, state: 'raised' })
  }

  private async databaseAnswers(now: Date): Promise<void> {
    const since = this.databaseDownSince
    if (since && this.databaseDownTold)
      await this.tell({ key: 'database', message: 'PostgreSQL did not answer.', since, at: now, state: 'cleared' })
    this.databaseDownSince = undefined
    this.databaseDownTold = false
  }

  /** Without an address the log is all there is, and that always works. */
  private async tell(notice: Notice): Promise<boolean> {
    const { key, state, message } = notice
    this.log[state === 'cleared' ? 'info' : 'error']({ alert: key, state }, message)
    try {
      await this.channel?.send(notice)
      return true
    } catch (err) {
      const reason = err instanceof Error ? err.message : String(err)
      this.log.warn({ alert: key, reason }, 'an alert could not be told and is tried again')
      return false
    }
  }
}

/** SQLSTATE 53100: the database's disk is full. */
const isFull = (err: unknown) => err instanceof Error && 'code' in err && err.code === '53100'

/** What the operator is told of events that are kept as they came. */
export const unprocessed = (n: number, reason: string): string =>
  `What Evolution servers told within a day could not be understood or stored ${n}${n === COUNTED ? ' or more' : ''} times; the latest: ${reason}. ` +
  'They stand in the table unprocessed_events; a user may miss a message. Is their version supported?'
