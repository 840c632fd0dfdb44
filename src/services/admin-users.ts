import { randomBytes } from 'node:crypto'
import type { Database, Queryable } from '../db/database.js'
import * as numberPlacement from '../db/number-placement.js'
import * as plans from '../db/plans.js'
import * as usage from '../db/usage.js'
import * as userAccounts from '../db/user-accounts.js'
import type { Account, AccountFilter } from '../db/user-accounts.js'
import * as users from '../db/users.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import { insertUser } from './api-keys.js'
import type { NumberChanges } from './number-changes.js'
import { type ResetLink, issueResetLink } from './password-resets.js'
import { hashPassword } from './passwords.js'
import { requireTimeZone } from './time-zones.js'
import type { UserDeletion } from './user-deletion.js'
import type { UserExpiry } from './user-expiry.js'

export interface AccountInput {
  full_name?: string | null
  company_name?: string | null
  plan_type?: string
  max_phone_numbers?: number
  max_messages_per_day?: number
  active_until?: Date | null
}

export type NewAccount = AccountInput & { email: string; password?: string; time_zone?: string; plan_type: string }

interface Options {
  public_url: string
  default_time_zone: string
}

const emailTaken = () => new AppError('email_taken', 'This e-mail address is registered already.')

/** Users as the operator makes, limits, stops and removes them. */
export class AdminUsers {
  constructor(
    private readonly db: Database,
    private readonly expiry: UserExpiry,
    private readonly changes: NumberChanges,
    private readonly deletion: UserDeletion,
    private readonly options: Options,
  ) {}

  list(filter: AccountFilter): Promise<Account[]> {
    return userAccounts.list(this.db, filter)
  }

  async get(id: number): Promise<Account> {
    const account = await userAccounts.find(this.db, id)
    if (!account) throw notFound('user')
    return account
  }

  /** Answers the only sight of the API key and, when no password was given, of a link to set one. */
  async create(input: NewAccount): Promise<{ account: Account; api_key: string; reset?: ResetLink }> {
    const time_zone = input.time_zone ?? this.options.default_time_zone
    await requireTimeZone(this.db, time_zone)
    const password_hash = await hashPassword(input.password ?? randomBytes(32).toString('base64url'))
    const { id, api_key, reset } = await this.db.transaction(async (tx) => {
      if (!(await plans.find(tx, input.plan_type))) throw unknownPlan(input.plan_type)
      const { email, plan_type, full_name = null, company_name = null } = input
      const row = { email, password_hash, full_name, company_name, plan_type, time_zone }
      const { user, api_key } = await insertUser(tx, row, emailTaken)
      await this.apply(tx, user.id, { ...input, plan_type: undefined })
      const link = input.password === undefined ? issueResetLink(tx, user.id, this.options.public_url) : undefined
      return { id: user.id, api_key, reset: await link }
    })
    return { account: await this.get(id), api_key, reset }
  }

  /** Lower limits take nothing away: numbers above them stay, messages that were accepted go out. */
  async update(id: number, input: AccountInput): Promise<Account> {
    await this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, id))) throw notFound('user')
      await this.apply(tx, id, input)
    })
    this.expiry.tell(id)
    return this.get(id)
  }

  /** Nothing is sent or answered any more; with `unlink` the numbers leave their servers too and must be scanned again. */
  async suspend(id: number, { reason, unlink }: { reason: string | null; unlink: boolean }): Promise<Account> {
    await this.setSuspended(id, true, reason)
    if (unlink)
      for (const number of await numberPlacement.listOfUser(this.db, id)) await this.changes.park(number, 'suspended')
    return this.get(id)
  }

  async activate(id: number): Promise<Account> {
    await this.setSuspended(id, false, null)
    return this.get(id)
  }

  async resetLink(id: number): Promise<ResetLink> {
    return this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, id))) throw notFound('user')
      return issueResetLink(tx, id, this.options.public_url)
    })
  }

  /** Keys end and the name is gone at once; numbers and data follow in the background. */
  async purge(id: number): Promise<void> {
    await this.get(id)
    await this.deletion.begin(id)
  }

  private async setSuspended(id: number, suspended: boolean, reason: string | null): Promise<void> {
    await this.db.transaction(async (tx) => {
      if (!(await users.lock(tx, id))) throw notFound('user')
      await userAccounts.setSuspended(tx, id, suspended, reason)
      await this.expiry.settle(tx, (await userAccounts.find(tx, id))!)
    })
    this.expiry.tell(id)
  }

  /** Another plan brings its limits along, unless they are given too. */
  private async apply(tx: Queryable, id: number, input: AccountInput): Promise<void> {
    const before = (await userAccounts.find(tx, id))!
    const plan = input.plan_type === undefined ? undefined : await plans.find(tx, input.plan_type)
    if (input.plan_type !== undefined && !plan) throw unknownPlan(input.plan_type)
    const limits = plan && {
      plan_type: plan.plan_type,
      max_phone_numbers: plan.max_phone_numbers,
      max_messages_per_day: plan.max_messages_per_day,
    }
    const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as AccountInput
    const after = { ...before, ...limits, ...given }
    await userAccounts.update(tx, id, after)
    if (after.max_messages_per_day > before.max_messages_per_day) await usage.forgetTold(tx, [id])
    await this.expiry.settle(tx, (await userAccounts.find(tx, id))!)
  }
}

const unknownPlan = (name: string) =>
  invalidRequest(`plan_type: there is no plan "${name}". GET /api/admin/plans lists them.`)
