import type { Bus } from '../cache/bus.js'
import type { Database } from '../db/database.js'
import * as plans from '../db/plans.js'
import type { Plan } from '../db/plans.js'
import * as usage from '../db/usage.js'
import * as userAccounts from '../db/user-accounts.js'
import { AppError, notFound } from '../errors.js'

export type NewPlan = Omit<Plan, 'users'>
export type PlanChange = Partial<Omit<NewPlan, 'plan_type'>>

/** What the operator offers. A plan only gives defaults: what is enforced stands with each user. */
export class PlanService {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  list(): Promise<Plan[]> {
    return plans.list(this.db)
  }

  async create(plan: NewPlan): Promise<Plan> {
    await plans.insert(this.db, plan, () => new AppError('conflict', 'There is a plan of this name already.'))
    return this.get(plan.plan_type)
  }

  /** With `apply_to_users`, also for those whose limits were the plan's; answers how many that were. */
  async update(planType: string, change: PlanChange, applyToUsers: boolean): Promise<{ plan: Plan; changed: number }> {
    const changed = await this.db.transaction(async (tx) => {
      const before = await plans.lock(tx, planType)
      if (!before) throw notFound('plan')
      const after = { ...before, ...change }
      await plans.update(tx, after)
      const followers = applyToUsers ? await userAccounts.followPlan(tx, planType, before, after) : []
      if (after.max_messages_per_day > before.max_messages_per_day) await usage.forgetTold(tx, followers)
      return followers
    })
    for (const user_id of changed) this.bus.tell('auth.changed', { user_id })
    return { plan: await this.get(planType), changed: changed.length }
  }

  private async get(planType: string): Promise<Plan> {
    const plan = (await plans.list(this.db)).find((one) => one.plan_type === planType)
    if (!plan) throw notFound('plan')
    return plan
  }
}
