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
