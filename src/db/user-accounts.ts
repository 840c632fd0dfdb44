import type { Queryable } from './database.js'
import { type User, columns } from './users.js'

/** What the operator sees and moves of users; what they do themselves is in db/users.ts. */
export interface Account extends User {
  suspended_at: Date | null
  suspension_reason: string | null
  expiry_told: number
  phone_numbers: number
  connected: number
}

const accountColumns = `${columns
  .split(', ')
  .map((column) => `u.${column}`)
  .join(', ')}, u.suspended_at, u.suspension_reason, u.expiry_told,
  (select count(*) from phone_numbers p where p.user_id = u.id and p.deleted_at is null) as phone_numbers,
  (select count(*) from phone_numbers p
    where p.user_id = u.id and p.deleted_at is null and p.status = 'connected') as connected`

export interface AccountFilter {
  search?: string
  status?: string
  plan_type?: string
  before?: number
  limit: number
}

export async function list(db: Queryable, filter: AccountFilter): Promise<Account[]> {
  const { rows } = await db.query<Account>(
    `select ${accountColumns} from users u
      where u.deleted_at is null and u.id < $1
        and ($2::text is null or u.email ilike $2 or u.full_name ilike $2 or u.company_name ilike $2)
        and ($3::text is null or u.status = $3) and ($4::text is null or u.plan_type = $4)
      order by u.id desc limit $5`,
    [
      filter.before ?? Number.MAX_SAFE_INTEGER,
      filter.search === undefined ? null : `%${filter.search.replace(/[\\%_]/g, '\\$&')}%`,
      filter.status ?? null,
      filter.plan_type ?? null,
      filter.limit,
    ],
  )
  return rows
}

export async function find(db: Queryable, id: number): Promise<Account | undefined> {
  const { rows } = await db.query<Account>(
    `select ${accountColumns} from users u where u.id = $1 and u.deleted_at is null`,
    [id],
  )
  return rows[0]
}

export type AccountChanges = Pick<
  Account,
  'full_name' | 'company_name' | 'plan_type' | 'max_phone_numbers' | 'max_messages_per_day' | 'active_until'
>

/** Another end of the time makes what was told about the old one worthless. */
export async function update(tx: Queryable, id: number, changes: AccountChanges): Promise<void> {
  await tx.query(
    `update users
        set full_name = $2, company_name = $3, plan_type = $4, max_phone_numbers = $5, max_messages_per_day = $6,
            active_until = $7, updated_at = now(),
            expiry_told = case when active_until is distinct from $7 then 0 else expiry_told end
      where id = $1`,
    [
      id,
      changes.full_name,
      changes.company_name,
      changes.plan_type,
      changes.max_phone_numbers,
      changes.max_messages_per_day,
      changes.active_until,
    ],
  )
}

/** Users of a plan whose limits are still those the plan had: answers them after the change. */
export async function followPlan(
  tx: Queryable,
  planType: string,
  before: { max_phone_numbers: number; max_messages_per_day: number },
  after: { max_phone_numbers: number; max_messages_per_day: number },
): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>(
    `with followers as (
       select id from users
        where plan_type = $1 and max_phone_numbers = $2 and max_messages_per_day = $3 and deleted_at is null
        order by id for no key update)
     update users u set max_phone_numbers = $4, max_messages_per_day = $5, updated_at = now()
       from followers f where f.id = u.id returning u.id`,
    [
      planType,
      before.max_phone_numbers,
      before.max_messages_per_day,
      after.max_phone_numbers,
      after.max_messages_per_day,
    ],
  )
  return rows.map((row) => row.id)
}

export async function setSuspended(
  tx: Queryable,
  id: number,
  suspended: boolean,
  reason: string | null,
): Promise<void> {
  await tx.query(
    `update users
        set suspended_at = case when $2 then coalesce(suspended_at, now()) end,
            suspension_reason = case when $2 then $3 end, updated_at = now()
      where id = $1`,
    [id, suspended, reason],
  )
}

export async function setStatus(tx: Queryable, id: number, status: User['status']): Promise<void> {
  await tx.query('update users set status = $2, updated_at = now() where id = $1', [id, status])
}

export async function setExpiryTold(tx: Queryable, id: number, stage: number): Promise<void> {
  await tx.query('update users set expiry_told = $2 where id = $1', [id, stage])
}

/** Users whose time is about to end, or has ended, and who have not been told of the stage they are in. */
export async function listEnding(
  db: Queryable,
  { warning_days, grace_days, now }: { warning_days: number; grace_days: number; now: Date },
): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(
    `select id from users
      where active_until is not null and deleted_at is null and active_until - make_interval(days => $1) <= $3
        and expiry_told < case when active_until + make_interval(days => $2) <= $3 then 3
                               when active_until <= $3 then 2 else 1 end
      order by id limit 500`,
    [warning_days, grace_days, now],
  )
  return rows.map((row) => row.id)
}
