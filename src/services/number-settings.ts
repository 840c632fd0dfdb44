import * as connectionChecks from '../db/connection-checks.js'
import type { Database } from '../db/database.js'
import * as lanes from '../db/lanes.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { notFound } from '../errors.js'
import type { InstanceService } from './instances.js'
import { ownedNumber } from './owned-number.js'
import type { WebhookService } from './webhooks.js'

export interface NumberChange {
  display_name?: string
  metadata?: Record<string, unknown>
  receive_groups?: boolean
  /** null: the server's setting. */
  send_gap_seconds?: number | null
  /** The first webhook of the number; null removes it. */
  webhook_url?: string | null
}

/** What the owner of a number may change without touching its link. */
export class NumberSettings {
  constructor(
    private readonly db: Database,
    private readonly instances: InstanceService,
    private readonly webhooks: WebhookService,
  ) {}

  /** The number as it is now, and the secret of a webhook that this call has made. */
  async update(user: User, id: number, change: NumberChange): Promise<{ phone: PhoneNumber; webhook_secret?: string }> {
    const before = await ownedNumber(this.db, user.id, id)
    // First, because it alone can be refused: then nothing has changed.
    const webhook_secret = await this.setWebhook(user, before, change.webhook_url)
    await this.db.transaction(async (tx) => {
      const phone = await phoneNumbers.lock(tx, id)
      if (!phone) throw notFound('phone number')
      const { display_name = phone.display_name, metadata = phone.metadata } = change
      const { receive_groups = phone.receive_groups, send_gap_seconds } = change
      await phoneNumbers.update(tx, id, { display_name, metadata, receive_groups })
      if (send_gap_seconds !== undefined) await lanes.setGap(tx, id, send_gap_seconds)
    })
    const phone = await ownedNumber(this.db, user.id, id)
    if (phone.receive_groups !== before.receive_groups) await this.applyToEngine(phone)
    return { phone, webhook_secret }
  }

  /** At once when the engine is there; else the reconciler sees that what was applied is not what should be. */
  private async applyToEngine(phone: PhoneNumber): Promise<void> {
    if (phone.parked_at) return
    const done = await this.instances.configure(phone).catch(() => false)
    if (done) await connectionChecks.noteApplied(this.db, phone.id, this.instances.fingerprint(phone))
    else await connectionChecks.makeDue(this.db, [phone.id])
  }

  private async setWebhook(user: User, phone: PhoneNumber, url: string | null | undefined) {
    if (url === undefined || url === phone.webhook_url) return undefined
    const created = url === null ? undefined : await this.webhooks.createFirst(user, { url, phone_number_id: phone.id })
    if (created) return created.secret
    const first = (await this.webhooks.list(user, { limit: 200, phone_number_id: phone.id })).at(-1)
    if (first && url === null) await this.webhooks.delete(user, first.id)
    else if (first && url !== null) await this.webhooks.update(user, first.id, { url })
    return undefined
  }
}
