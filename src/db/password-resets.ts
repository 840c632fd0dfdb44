import type { Queryable } from './database.js'

/** Uses a link up, once: answers whose it is, or nothing when it is unknown, used or too old. */
export async function consume(tx: Queryable, tokenHash: Buffer, now?: Date): Promise<number | undefined> {
  const { rows } = await tx.query<{ user_id: number }>(
    `update password_resets set used_at = coalesce($2, now())
      where token_hash = $1 and used_at is null and expires_at > coalesce($2, now()) returning user_id`,
    [tokenHash, now ?? null],
  )
  return rows[0]?.user_id
}

/** Ends the links of a user that were not used yet. */
export async function revokeOf(tx: Queryable, userId: number): Promise<void> {
  await tx.query('delete from password_resets where user_id = $1 and used_at is null', [userId])
}

/** One good link per user: an older one ends. */
export async function insert(tx: Queryable, userId: number, tokenHash: Buffer, hours: number): Promise<Date> {
  await revokeOf(tx, userId)
  const { rows } = await tx.query<{ expires_at: Date }>(
    `insert into password_resets (token_hash, user_id, expires_at)
     values ($1, $2, now() + make_interval(hours => $3)) returning expires_at`,
    [tokenHash, userId, hours],
  )
  return rows[0]!.expires_at
}
