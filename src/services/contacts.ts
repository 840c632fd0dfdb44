import { setTimeout as pause } from 'node:timers/promises'
import { EngineUnreachable } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import * as contactChecks from '../db/contact-checks.js'
import type { Database } from '../db/database.js'
import type { Sender } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { AppError, unavailable } from '../errors.js'
import type { Drafting } from './drafting.js'
import { engineNameOf } from './instances.js'

export interface ContactCheck {
  number: string | number
  recipient: string | null
  on_whatsapp: boolean | null
  error?: string
}

const CACHE_DAYS = 7
/** Asked of the engine at a time, with a pause between. */
const CHUNK = 10
const CHUNK_PAUSE_MS = 500

/** Tells who is on WhatsApp. Answers are kept, and new questions are few: mass checks get numbers banned. */
export class ContactService {
  constructor(
    private readonly db: Database,
    private readonly pool: ServerPool,
    private readonly drafting: Drafting,
    private readonly options: { checks_per_hour: number },
  ) {}

  async check(
    user: User,
    sender: { token?: string; from?: 'auto' },
    numbers: (string | number)[],
  ): Promise<ContactCheck[]> {
    const phone = await this.drafting.senderOf(user, sender)
    const asked = numbers.map((number) => this.parse(number))
    const recipients = [...new Set(asked.flatMap(({ recipient }) => recipient ?? []))]
    const known = await contactChecks.find(this.db, recipients, CACHE_DAYS)
    const unknown = recipients.filter((recipient) => !known.has(recipient))
    if (unknown.length > 0) for (const [recipient, found] of await this.ask(phone, unknown)) known.set(recipient, found)
    return asked.map((one) => ({
      ...one,
      on_whatsapp: one.recipient === null ? null : (known.get(one.recipient) ?? null),
    }))
  }

  private parse(number: string | number): ContactCheck {
    try {
      const { recipient, kind } = this.drafting.recipientOf(number)
      if (kind === 'person') return { number, recipient, on_whatsapp: null }
      return { number, recipient: null, on_whatsapp: null, error: 'Only phone numbers can be checked.' }
    } catch (err) {
      if (err instanceof AppError) return { number, recipient: null, on_whatsapp: null, error: err.message }
      throw err
    }
  }

  private async ask(phone: Sender, recipients: string[]): Promise<Map<string, boolean>> {
    const spent = await contactChecks.countSince(this.db, phone.id, 1)
    if (spent + recipients.length > this.options.checks_per_hour) throw tooMany(this.options.checks_per_hour)
    const answers = new Map<string, boolean>()
    for (let i = 0; i < recipients.length; i += CHUNK) {
      if (i > 0) await pause(CHUNK_PAUSE_MS)
      for (const { recipient, on_whatsapp, whatsapp_id } of await this.askEngine(
        phone,
        recipients.slice(i, i + CHUNK),
      )) {
        await contactChecks.save(this.db, { recipient, on_whatsapp, whatsapp_id, phone_number_id: phone.id })
        answers.set(recipient, on_whatsapp)
      }
    }
    return answers
  }

  /** The engine's answer comes in an order of its own; each names the number as it was asked. */
  private async askEngine(phone: Sender, recipients: string[]) {
    const { status, body } = await this.pool
      .withRoom(phone.server_instance, (client) => client.checkNumbers(engineNameOf(phone), recipients))
      .catch((err: unknown) => {
        if (err instanceof EngineUnreachable)
          throw unavailable('The WhatsApp engine did not answer. Try again later.', err)
        throw err
      })
    if (status !== 200 || !Array.isArray(body))
      throw unavailable('WhatsApp did not answer. Check that this phone number is connected and try again.')
    const found = body as { number: string; exists: boolean; jid: string }[]
    return found
      .filter(({ number }) => recipients.includes(number))
      .map(({ number, exists, jid }) => ({ recipient: number, on_whatsapp: exists, whatsapp_id: exists ? jid : null }))
  }
}

const tooMany = (limit: number) =>
  new AppError(
    'rate_limited',
    `A phone number may check ${limit} new contacts per hour, because WhatsApp bans numbers that check many. Wait, or ask for fewer.`,
    { retry_after_seconds: 900 },
  )
