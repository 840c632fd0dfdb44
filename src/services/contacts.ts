import { setTimeout as pause } from 'node:timers/promises'
import { EngineUnreachable } from '../clients/engine-http.js'
import { Semaphores } from '../clients/semaphore.js'
import type { ServerPool } from '../clients/server-pool.js'
import * as contactChecks from '../db/contact-checks.js'
import * as contactLookups from '../db/contact-lookups.js'
import type { Database } from '../db/database.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { Sender } from '../db/phone-numbers.js'
import type { User } from '../db/users.js'
import { AppError, notFound, unavailable } from '../errors.js'
import type { Drafting } from './drafting.js'
import { engineNameOf } from './engine-names.js'

export interface ContactCheck {
  number: string | number
  recipient: string | null
  on_whatsapp: boolean | null
  error?: string
}

/** Asked of the engine at a time, with a pause between. */
const CHUNK = 10
const CHUNK_PAUSE_MS = 500

/** Tells who is on WhatsApp. Answers are kept, and new questions are few: mass checks get numbers banned. */
export class ContactService {
  /** A number whose checks hang takes one place on its server, not all of them. */
  private readonly turns = new Semaphores<number>(1)

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
    const phone = await this.drafting.senderOf(user, sender, 0)
    const asked = numbers.map((number) => this.parse(number))
    const recipients = [...new Set(asked.flatMap(({ recipient }) => recipient ?? []))]
    const known = await contactChecks.find(this.db, recipients)
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
    const lookup = await this.take(phone, recipients.length)
    const answers = new Map<string, boolean>()
    let asked = 0
    try {
      for (; asked < recipients.length; asked += CHUNK) {
        if (asked > 0) await pause(CHUNK_PAUSE_MS)
        const chunk = recipients.slice(asked, asked + CHUNK)
        for (const { recipient, on_whatsapp, whatsapp_id } of await this.askEngine(phone, chunk)) {
          await contactChecks.save(this.db, { recipient, on_whatsapp, whatsapp_id, phone_number_id: phone.id })
          answers.set(recipient, on_whatsapp)
        }
      }
    } catch (err) {
      // WhatsApp may have been asked for those of the chunk that failed.
      await contactLookups.giveBack(this.db, lookup, recipients.length - asked - CHUNK)
      throw err
    }
    return answers
  }

  /** Under the lock of the number: two at once cannot take the same rest. */
  private take(phone: Sender, contacts: number): Promise<number> {
    const { checks_per_hour } = this.options
    return this.db.transaction(async (tx) => {
      if (!(await phoneNumbers.lock(tx, phone.id))) throw notFound('phone number')
      const lookup = await contactLookups.take(tx, phone.id, contacts, checks_per_hour)
      if (lookup === undefined) throw tooMany(checks_per_hour)
      return lookup
    })
  }

  /** The engine's answer comes in an order of its own; each names the number as it was asked. */
  private async askEngine(phone: Sender, recipients: string[]) {
    const { status, body } = await this.turns
      .run(phone.id, () =>
        this.pool.withRoom(phone.server_instance, (client) => client.checkNumbers(engineNameOf(phone), recipients)),
      )
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
