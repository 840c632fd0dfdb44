import type { Queryable } from './database.js'
import * as webhookLogs from './webhook-logs.js'

/** Deletes up to `batch` rows of a deleted user from one of its large tables; answers how many. */
export async function deleteSome(tx: Queryable, part: number, userId: number, batch: number): Promise<number> {
  const { rowCount } = await tx.query(STATEMENTS[part]!, [userId, batch])
  return rowCount ?? 0
}

/** What a cascade from the user's row would do in one statement that takes too long, and what no key refers to. */
const STATEMENTS = [
  'delete from messages where id in (select id from messages where user_id = $1 order by id desc limit $2)',
  `with batch as (select id from events where user_id = $1 order by position limit $2),
        attempts as (${webhookLogs.deletedOf('select id from batch')})
   delete from events where id in (select id from batch)`,
  'delete from api_requests where id in (select id from api_requests where user_id = $1 order by id desc limit $2)',
  `delete from early_receipts where ctid in (
     select e.ctid from early_receipts e join phone_numbers p on p.id = e.phone_number_id where p.user_id = $1 limit $2)`,
  `delete from contact_checks where recipient in (
     select c.recipient from contact_checks c join phone_numbers p on p.id = c.phone_number_id
      where p.user_id = $1 limit $2)`,
  `delete from unprocessed_events where id in (
     select u.id from unprocessed_events u where u.engine_name like 'user\\_' || $1::bigint || '\\_%' limit $2)`,
]

/** How many tables there are to go through. */
export const PARTS = STATEMENTS.length
