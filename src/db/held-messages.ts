import type { Queryable } from './database.js'
import { type Changed, changed, step } from './messages.js'
import type { Held } from './outgoing-messages.js'

/** What a process has claimed at least that many seconds ago. */
export async function list(db: Queryable, processId: number, olderThanSeconds: number): Promise<Held[]> {
  const { rows } = await db.query<Held>(
    `select id, user_id, phone_number_id, process_id, attempts, engine_errors from messages
      where process_id = $1 and status = 'sending' and updated_at < now() - make_interval(secs => $2)`,
    [processId, olderThanSeconds],
  )
  return rows
}

/** Processes that are said to be sending although they have been removed: they committed a claim after that. */
export async function listOrphans(tx: Queryable): Promise<number[]> {
  const { rows } = await tx.query<{ process_id: number }>(
    `select distinct process_id from messages m
      where status = 'sending' and process_id is not null
        and not exists (select 1 from processes p where p.id = m.process_id)`,
  )
  return rows.map((row) => row.process_id)
}

/** What these processes are sending. */
export async function listOf(tx: Queryable, processIds: number[]): Promise<{ phone_number_id: number }[]> {
  const { rows } = await tx.query<{ phone_number_id: number }>(
    `select phone_number_id from messages where process_id = any($1::bigint[]) and status = 'sending'`,
    [processIds],
  )
  return rows
}

/** The sends of dead processes: nobody knows how they ended. Their lanes must be released in the same transaction. */
export async function abandon(tx: Queryable, processIds: number[]): Promise<Changed[]> {
  const { rows } = await tx.query<Changed>(
    `update messages m
        set status = 'unconfirmed', error_code = 'process_died', updated_at = now(), reconcile_at = now(),
            error_message = 'The server stopped while this message was being sent, so it is not known whether it went out.',
            history = m.history || ${step("'unconfirmed'", "'process_died'")}
       from users u, phone_numbers p
      where m.process_id = any($1::bigint[]) and m.status = 'sending' and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [processIds],
  )
  return rows
}
