import type { Queryable } from './database.js'
import { type User, columns } from './users.js'

export interface NewApiKey {
  user_id: number
  name: string
  key_hash: Buffer
  hint: string
}

export async function insert(db: Queryable, key: NewApiKey): Promise<void> {
  await db.query('insert into api_keys (user_id, name, key_hash, hint) values ($1, $2, $3, $4)', [
    key.user_id,
    key.name,
    key.key_hash,
    key.hint,
  ])
}

const userColumns = columns
  .split(', ')
  .map((column) => `u.${column}`)
  .join(', ')

/** The owner of a key that is not revoked: one look-up in the unique index of the hash. */
export async function findUser(db: Queryable, hash: Buffer): Promise<(User & { api_key_id: number }) | undefined> {
  const { rows } = await db.query<User & { api_key_id: number }>(
    `select ${userColumns}, k.id as api_key_id
       from api_keys k join users u on u.id = k.user_id
      where k.key_hash = $1 and k.revoked_at is null`,
    [hash],
  )
  return rows[0]
}

/** Ends every key of the user; answers with their hashes so that caches can forget them. */
export async function revokeAll(tx: Queryable, userId: number): Promise<Buffer[]> {
  const { rows } = await tx.query<{ key_hash: Buffer }>(
    'update api_keys set revoked_at = now() where user_id = $1 and revoked_at is null returning key_hash',
    [userId],
  )
  return rows.map((row) => row.key_hash)
}
