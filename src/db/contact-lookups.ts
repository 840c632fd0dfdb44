import type { Queryable } from './database.js'

const HOUR = `now() - interval '1 hour'`

/** Takes so many questions from what a number may ask per hour: all or none. The number's row must be locked. */
export async function take(
  tx: Queryable,
  phoneNumberId: number,
  contacts: number,
  limit: number,
): Promise<number | undefined> {
  await tx.query(`delete from contact_lookups where phone_number_id = $1 and asked_at <= ${HOUR}`, [phoneNumberId])
  const { rows } = await tx.query<{ id: number }>(
    `insert into contact_lookups (phone_number_id, contacts)
     select $1, $2::integer
      where $2::integer + (select coalesce(sum(contacts), 0) from contact_lookups
                   where phone_number_id = $1 and asked_at > ${HOUR}) <= $3
     returning id`,
    [phoneNumberId, contacts, limit],
  )
  return rows[0]?.id
}

/** Gives back what was not asked after all. */
export async function giveBack(db: Queryable, id: number, contacts: number): Promise<void> {
  if (contacts > 0) await db.query('update contact_lookups set contacts = contacts - $2 where id = $1', [id, contacts])
}
