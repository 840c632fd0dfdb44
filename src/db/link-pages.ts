import type { Queryable } from './database.js'
import { type PhoneNumber, columnsOf } from './phone-numbers.js'

/** Replaces the page a number may have had: there is one at a time. */
export async function replace(db: Queryable, phoneNumberId: number, tokenHash: Buffer, hours: number): Promise<Date> {
  const { rows } = await db.query<{ expires_at: Date }>(
    `insert into link_pages (phone_number_id, token_hash, expires_at)
     values ($1, $2, now() + make_interval(hours => $3))
         on conflict (phone_number_id) do update
        set token_hash = excluded.token_hash, created_at = now(), expires_at = excluded.expires_at
     returning expires_at`,
    [phoneNumberId, tokenHash, hours],
  )
  return rows[0]!.expires_at
}

export async function remove(db: Queryable, phoneNumberId: number): Promise<boolean> {
  const { rowCount } = await db.query('delete from link_pages where phone_number_id = $1', [phoneNumberId])
  return rowCount === 1
}

/** The number of a page that is still good, while its user may use the product. */
export async function findNumber(db: Queryable, tokenHash: Buffer, now?: Date): Promise<PhoneNumber | undefined> {
  const { rows } = await db.query<PhoneNumber>(
    `select ${columnsOf('p')}
       from link_pages l join phone_numbers p on p.id = l.phone_number_id join users u on u.id = p.user_id
      where l.token_hash = $1 and l.expires_at > coalesce($2, now()) and p.deleted_at is null and u.status = 'active'`,
    [tokenHash, now ?? null],
  )
  return rows[0]
}

export async function prune(db: Queryable): Promise<void> {
  await db.query(`delete from link_pages where expires_at < now() - interval '1 day'`)
}
