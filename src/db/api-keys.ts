import type { Queryable } from './database.js'
import { type User, columns } from './users.js'

/** What a key may be allowed to do; the column's constraint lists the same. */
export const SCOPES = ['send', 'read', 'numbers', 'webhooks', 'account'] as const
export type Scope = (typeof SCOPES)[number]

/** A key as its owner sees it: the key itself is nowhere. */
export interface ApiKey {
  id: number
  name: string
  hint: string
  scopes: Scope[]
  rate_limit_per_minute: number | null
  expires_at: Date | null
  last_used_at: Date | null
  created_at: Date
}

export type NewApiKey = Pick<ApiKey, 'name' | 'hint' | 'scopes' | 'rate_limit_per_minute' | 'expires_at'> & {
  user_id: number
  key_hash: Buffer
}

export type ApiKeyChanges = Partial<Pick<ApiKey, 'name' | 'scopes' | 'rate_limit_per_minute' | 'expires_at'>>

const names = ['id', 'name', 'hint', 'scopes', 'rate_limit_per_minute', 'expires_at', 'last_used_at', 'created_at']
const keyColumns = names.join(', ')

export async function insert(db: Queryable, key: NewApiKey): Promise<ApiKey> {
  const { rows } = await db.query<ApiKey>(
    `insert into api_keys (user_id, name, key_hash, hint, scopes, rate_limit_per_minute, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7)
     returning ${keyColumns}`,
    [key.user_id, key.name, key.key_hash, key.hint, key.scopes, key.rate_limit_per_minute, key.expires_at],
  )
  return rows[0]!
}

const userColumns = columns
  .split(', ')
  .map((column) => `u.${column}`)
  .join(', ')

export interface KeyHolder {
  user: User
  key: Pick<ApiKey, 'id' | 'scopes' | 'rate_limit_per_minute' | 'expires_at'> & { revoked_at: Date | null }
}

/** Whose key this is, ended or not: one look-up in the unique index of the hash. */
export async function findHolder(db: Queryable, hash: Buffer): Promise<KeyHolder | undefined> {
  const { rows } = await db.query<User & { key: Omit<KeyHolder['key'], 'expires_at' | 'revoked_at'> } & Ends>(
    `select ${userColumns}, k.expires_at as key_expires_at, k.revoked_at as key_revoked_at,
            jsonb_build_object('id', k.id, 'scopes', k.scopes, 'rate_limit_per_minute', k.rate_limit_per_minute) as key
       from api_keys k join users u on u.id = k.user_id
      where k.key_hash = $1`,
    [hash],
  )
  if (!rows[0]) return undefined
  const { key, key_expires_at, key_revoked_at, ...user } = rows[0]
  return { user, key: { ...key, expires_at: key_expires_at, revoked_at: key_revoked_at } }
}

interface Ends {
  key_expires_at: Date | null
  key_revoked_at: Date | null
}

/** Keys that work, and those that expired within the last month. */
export async function listOwned(db: Queryable, userId: number): Promise<ApiKey[]> {
  const { rows } = await db.query<ApiKey>(
    `select ${keyColumns} from api_keys
      where user_id = $1 and revoked_at is null and (expires_at is null or expires_at > now() - interval '30 days')
      order by id desc`,
    [userId],
  )
  return rows
}

/** A key that was not revoked, with its hash for the caches; under the user's lock nothing changes it meanwhile. */
export async function findOwned(db: Queryable, userId: number, id: number) {
  const { rows } = await db.query<ApiKey & { key_hash: Buffer }>(
    `select ${keyColumns}, key_hash from api_keys where user_id = $1 and id = $2 and revoked_at is null`,
    [userId, id],
  )
  return rows[0]
}

export async function update(tx: Queryable, userId: number, key: ApiKey): Promise<void> {
  await tx.query(
    `update api_keys set name = $3, scopes = $4, rate_limit_per_minute = $5, expires_at = $6
      where user_id = $1 and id = $2`,
    [userId, key.id, key.name, key.scopes, key.rate_limit_per_minute, key.expires_at],
  )
}

export async function revoke(tx: Queryable, userId: number, id: number): Promise<void> {
  await tx.query('update api_keys set revoked_at = now() where user_id = $1 and id = $2 and revoked_at is null', [
    userId,
    id,
  ])
}

/** Ends every key of the user; answers with their hashes so that caches can forget them. */
export async function revokeAll(tx: Queryable, userId: number): Promise<Buffer[]> {
  const { rows } = await tx.query<{ key_hash: Buffer }>(
    'update api_keys set revoked_at = now() where user_id = $1 and revoked_at is null returning key_hash',
    [userId],
  )
  return rows.map((row) => row.key_hash)
}

/** Moves forward only: batches of several replicas arrive in any order. */
export async function recordUse(db: Queryable, uses: { id: number; at: Date }[]): Promise<void> {
  await db.query(
    `update api_keys k set last_used_at = u.at
       from unnest($1::bigint[], $2::timestamptz[]) as u (id, at)
      where k.id = u.id and (k.last_used_at is null or k.last_used_at < u.at)`,
    [uses.map((use) => use.id), uses.map((use) => use.at)],
  )
}
