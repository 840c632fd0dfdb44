import type { Bus } from '../cache/bus.js'
import type { Database, Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as laneGates from '../db/lane-gates.js'
import * as reports from '../db/message-reports.js'
import * as messages from '../db/messages.js'
import type { Changed } from '../db/messages.js'
import * as numberHealth from '../db/number-health.js'
import type { AckRatio } from '../db/number-health.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { statusEvent } from './message-view.js'
import { publicEvent } from './public-events.js'

/** WhatsApp's servers acknowledge within seconds; after this long without a word something is wrong. */
const SILENCE_SECONDS = 600
/** New contacts refused in a row that mean WhatsApp has closed new conversations to this number. */
const REFUSALS = 3
/** How long new conversations then wait before they are tried again. */
const RESTRICTION_HOURS = 6
/** Below this share of acknowledged messages a number is degraded; above the other it has recovered. */
const DEGRADED_BELOW = 0.5
const RECOVERED_FROM = 0.8
const MIN_SAMPLE = 10
const BATCH = 500

/** What follows from receipts missing: a warning on the message, a health figure on its number. */
export class Acknowledgements {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  /** Warns of messages without any acknowledgement; answers how many. */
  async warnSilent(now?: Date): Promise<number> {
    for (let told = 0; ;) {
      const silent = await this.db.transaction(async (tx) => {
        const warned = await messages.warnSilent(tx, SILENCE_SECONDS, BATCH, now)
        await events.record(tx, warned.map(statusEvent))
        return warned
      })
      for (const { id } of silent) this.bus.tell('message.changed', { id })
      told += silent.length
      if (silent.length < BATCH) return told
    }
  }

  /** Renews `ack_ratio_1h` of the numbers that have sent, and says so when one falls or recovers. */
  async measure(now?: Date): Promise<void> {
    for (const measured of await numberHealth.measureAcks(this.db, SILENCE_SECONDS, now)) {
      const { ratio, ack_ratio_1h } = measured
      if (ratio !== ack_ratio_1h || falls(measured) || recovers(measured)) await this.record(measured)
    }
  }

  private async record({ id, ratio, sample }: AckRatio): Promise<void> {
    await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (!phone) return
      const now = { ratio, sample, degraded_since: phone.degraded_since }
      const since = falls(now) ? new Date() : recovers(now) ? null : phone.degraded_since
      await numberHealth.saveAckRatio(tx, id, ratio, since)
      if (falls(now)) await events.record(tx, [publicEvent('phone_number.degraded', phone, degraded(ratio!, sample))])
    })
  }
}

type Health = Pick<AckRatio, 'ratio' | 'sample' | 'degraded_since'>

const falls = ({ ratio, sample, degraded_since }: Health) =>
  degraded_since === null && ratio !== null && sample >= MIN_SAMPLE && ratio < DEGRADED_BELOW

/** Without anything sent there is nothing left to complain of. */
const recovers = ({ ratio, degraded_since }: Health) =>
  degraded_since !== null && (ratio === null || ratio >= RECOVERED_FROM)

const degraded = (ack_ratio_1h: number, messages: number) => ({
  ack_ratio_1h,
  messages,
  advice: 'WhatsApp acknowledges few of the messages of this number. Look at the phone, and send less for a while.',
})

/** Counts refusals of new contacts in a row; enough of them close new conversations for a while. */
export async function recordAcknowledgements(tx: Queryable, received: Changed[]): Promise<void> {
  for (const message of received.filter((one) => one.new_contact)) {
    const refused = message.status === 'failed'
    const refusals = await numberHealth.countRefusal(tx, message.phone_number_id, refused)
    if (!refused || refusals < REFUSALS) continue
    const until = new Date(Date.now() + RESTRICTION_HOURS * 3_600_000)
    // What went out before is still being refused: once is enough.
    if (!(await laneGates.restrict(tx, message.phone_number_id, until))) continue
    await reports.recogniseContacts(tx, message.phone_number_id)
    await numberHealth.setRestriction(tx, message.phone_number_id, { type: 'new_conversations', until })
    const subject = { ...message, id: message.phone_number_id }
    await events.record(tx, [publicEvent('phone_number.restricted', subject, restricted(until))])
  }
}

const restricted = (until: Date) => ({
  restriction: { type: 'new_conversations', until },
  advice: 'WhatsApp refuses new conversations of this number. They wait until then; replies go out as usual.',
})

/** Restrictions lift by themselves. */
export function isRestricted(phone: Pick<PhoneNumber, 'restriction'>, now = Date.now()): boolean {
  return phone.restriction !== null && Date.parse(phone.restriction.until) > now
}
