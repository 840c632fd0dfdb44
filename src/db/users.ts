import type { Queryable } from './database.js'
import { onConstraint } from './database.js'

export interface User {
  id: number
  email: string
  api_key: string
  full_name: string | null
  company_name: string | null
  plan_type: string
  max_phone_numbers: number
  max_messages_per_day: number
  status: 'active' | 'suspended'
  time_zone: string
  token_version: number
  active_until: Date | null
  created_at: Date
}

export interface NewUser {
  email: string
  password_hash: string
  api_key: string
  full_name: string | null
  company_name: string | null
  plan_type: string
  time_zone: string
}

export const columns = [
  'id, email, api_key, full_name, company_name, plan_type, max_phone_numbers, max_messages_per_day',
  'status, time_zone, token_version, active_until, created_at',
].join(', ')

/** Stores the user with the limits of its plan and an empty feed; `taken` makes the error for a used e-mail. */
export async function insert(db: Queryable, user: NewUser, taken: () => Error): Promise<User> {
  const { rows } = await db
    .query<User>(
      `with created as (
         insert into users (email, password_hash, api_key, full_name, company_name, plan_type, time_zone,
                            max_phone_numbers, max_messages_per_day)
         select $1, $2, $3, $4, $5, plan_type, $7, max_phone_numbers, max_messages_per_day
           from plans where plan_type = $6
         returning ${columns}),
       feed as (insert into feeds (user_id) select id from created)
       select * from created`,
      [user.email, user.password_hash, user.api_key, user.full_name, user.company_name, user.plan_type, user.time_zone],
    )
    .catch(onConstraint('users_email_key', taken))
  return rows[0]!
}

export async function findById(db: Queryable, id: number): Promise<User | undefined> {
  const { rows } = await db.query<User>(`select ${columns} from users where id = $1`, [id])
  return rows[0]
}

export async function findCredentials(db: Queryable, email: string) {
  const { rows } = await db.query<User & { password_hash: string }>(
    `select ${columns}, password_hash from users where email = $1`,
    [email],
  )
  return rows[0]
}

/** Serialises the writers of one user's limits; hold it only as long as the transaction. */
export async function lock(tx: Queryable, id: number): Promise<User | undefined> {
  const { rows } = await tx.query<User>(`select ${columns} from users where id = $1 for no key update`, [id])
  return rows[0]
}

export async function setKeyHint(tx: Queryable, id: number, hint: string): Promise<void> {
  await tx.query('update users set api_key = $2, updated_at = now() where id = $1', [id, hint])
}
