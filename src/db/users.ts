import pg from 'pg'
import type { Queryable } from './database.js'
import { onConstraint } from './database.js'

const UNKNOWN_ZONE = '22023'

export interface User {
  id: number
  email: string
  api_key: string
  full_name: string | null
  company_name: string | null
  plan_type: string
  max_phone_numbers: number
  max_messages_per_day: number
  status: 'active' | 'suspended' | 'expired'
  time_zone: string
  /** A change that waits for midnight. */
  next_time_zone: string | null
  next_time_zone_at: Date | null
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
  'status, time_zone, next_time_zone, next_time_zone_at, token_version, active_until, created_at',
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
  const { rows } = await db.query<User>(`select ${columns} from users where id = $1 and deleted_at is null`, [id])
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
  const { rows } = await tx.query<User>(
    `select ${columns} from users where id = $1 and deleted_at is null for no key update`,
    [id],
  )
  return rows[0]
}

/** Whoever looks at the profile sees a key that works: the present one while it does, else the most powerful. */
export async function refreshKeyHint(tx: Queryable, id: number): Promise<void> {
  await tx.query(
    `update users u
        set updated_at = now(), api_key = coalesce(
              (select k.hint from api_keys k
                where k.user_id = u.id and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
                order by k.hint = u.api_key and k.expires_at is null desc, cardinality(k.scopes) desc, k.id desc
                limit 1), 'wsk_…')
      where u.id = $1`,
    [id],
  )
}

/** Also ends every access token: they carry the version. Answers the new one. */
export async function setPassword(tx: Queryable, id: number, passwordHash: string): Promise<number> {
  const { rows } = await tx.query<{ token_version: number }>(
    `update users set password_hash = $2, token_version = token_version + 1, updated_at = now()
      where id = $1 returning token_version`,
    [id, passwordHash],
  )
  return rows[0]!.token_version
}

export interface Profile {
  full_name: string | null
  company_name: string | null
  next_time_zone: string | null
  next_time_zone_at: Date | null
}

export async function updateProfile(tx: Queryable, id: number, profile: Profile): Promise<User> {
  const { rows } = await tx.query<User>(
    `update users set full_name = $2, company_name = $3, next_time_zone = $4, next_time_zone_at = $5, updated_at = now()
      where id = $1 returning ${columns}`,
    [id, profile.full_name, profile.company_name, profile.next_time_zone, profile.next_time_zone_at],
  )
  return rows[0]!
}

/** Node.js and PostgreSQL have a list of time zones each, and the views use the latter. */
export async function knowsTimeZone(db: Queryable, name: string): Promise<boolean> {
  try {
    await db.query('select now() at time zone $1::text', [name])
    return true
  } catch (err) {
    if (err instanceof pg.DatabaseError && err.code === UNKNOWN_ZONE) return false
    throw err
  }
}

/** Lets the changes of time zone begin whose midnight has come; answers whose. */
export async function switchTimeZones(db: Queryable, now?: Date): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(
    `update users set time_zone = next_time_zone, next_time_zone = null, next_time_zone_at = null
      where next_time_zone_at <= coalesce($1, now()) returning id`,
    [now ?? null],
  )
  return rows.map((row) => row.id)
}

/** Takes everything personal off the row and frees the e-mail address; the row goes when nothing hangs on it any more. */
export async function markDeleted(tx: Queryable, id: number): Promise<void> {
  await tx.query(
    `update users
        set deleted_at = now(), email = 'deleted-' || id || '@invalid', password_hash = '', api_key = '', full_name = null,
            company_name = null, status = 'suspended', token_version = token_version + 1, next_time_zone = null,
            next_time_zone_at = null, updated_at = now()
      where id = $1`,
    [id],
  )
}

/** Deleted users who still have numbers. */
export async function listLeaving(db: Queryable, limit: number): Promise<{ id: number }[]> {
  const { rows } = await db.query<{ id: number }>(
    `select id from users u
      where deleted_at is not null
        and exists (select 1 from phone_numbers p where p.user_id = u.id and p.deleted_at is null)
      order by deleted_at limit $1`,
    [limit],
  )
  return rows
}

/** Users who were deleted before this moment and have no number any more. */
export async function listGone(db: Queryable, before: Date, limit: number): Promise<{ id: number }[]> {
  const { rows } = await db.query<{ id: number }>(
    `select id from users u
      where deleted_at < $1
        and not exists (select 1 from phone_numbers p where p.user_id = u.id and p.deleted_at is null)
      order by deleted_at limit $2`,
    [before, limit],
  )
  return rows
}

export async function remove(tx: Queryable, id: number): Promise<void> {
  await tx.query('delete from users where id = $1 and deleted_at is not null', [id])
}
