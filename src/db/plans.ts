import type { Queryable } from './database.js'
import { onConstraint } from './database.js'

export interface Plan {
  plan_type: string
  max_phone_numbers: number
  max_messages_per_day: number
  description: string | null
  users: number
}

export async function list(db: Queryable): Promise<Plan[]> {
  const { rows } = await db.query<Plan>(
    `select p.plan_type, p.max_phone_numbers, p.max_messages_per_day, p.description,
            (select count(*) from users u where u.plan_type = p.plan_type and u.deleted_at is null) as users
       from plans p order by p.max_messages_per_day, p.plan_type`,
  )
  return rows
}

export async function find(db: Queryable, planType: string): Promise<Omit<Plan, 'users'> | undefined> {
  const { rows } = await db.query<Omit<Plan, 'users'>>(
    'select plan_type, max_phone_numbers, max_messages_per_day, description from plans where plan_type = $1',
    [planType],
  )
  return rows[0]
}

export async function lock(tx: Queryable, planType: string): Promise<Omit<Plan, 'users'> | undefined> {
  const { rows } = await tx.query<Omit<Plan, 'users'>>(
    `select plan_type, max_phone_numbers, max_messages_per_day, description
       from plans where plan_type = $1 for no key update`,
    [planType],
  )
  return rows[0]
}

export async function insert(db: Queryable, plan: Omit<Plan, 'users'>, taken: () => Error): Promise<void> {
  await db
    .query(
      'insert into plans (plan_type, max_phone_numbers, max_messages_per_day, description) values ($1, $2, $3, $4)',
      [plan.plan_type, plan.max_phone_numbers, plan.max_messages_per_day, plan.description],
    )
    .catch(onConstraint('plans_pkey', taken))
}

export async function update(tx: Queryable, plan: Omit<Plan, 'users'>): Promise<void> {
  await tx.query(
    `update plans set max_phone_numbers = $2, max_messages_per_day = $3, description = $4, updated_at = now()
      where plan_type = $1`,
    [plan.plan_type, plan.max_phone_numbers, plan.max_messages_per_day, plan.description],
  )
}
