import type { Queryable } from './database.js'
import type { Receipt } from './message-reports.js'
import { type Changed, changed, step } from './messages.js'

/** An unconfirmed message that is due to be looked for in the engine. */
export interface Unconfirmed {
  id: number
  phone_number_id: number
  generation: number
  starts_at: Date
  /** Counts the present look. */
  looks: number
  on_ambiguous: 'keep' | 'retry'
  engine_name: string
  server_instance: string
  /** The instance it went through has been taken off the engine, or will be. */
  gone: boolean
}

/** Leases what is due for a minute. */
export async function claim(db: Queryable, limit: number, now?: Date): Promise<Unconfirmed[]> {
  const { rows } = await db.query<Unconfirmed>(
    `update messages m
        set reconcile_at = coalesce($2, now()) + interval '1 minute'
       from (select id from messages where status = 'unconfirmed' and reconcile_at <= coalesce($2, now())
              order by reconcile_at limit $1 for update skip locked) due, phone_numbers p
      where m.id = due.id and p.id = m.phone_number_id
     returning m.id, m.phone_number_id, m.generation, m.starts_at, m.looks + 1 as looks, m.on_ambiguous,
               engine_name(p.instance_name, m.generation) as engine_name, p.server_instance,
               p.deleted_at is not null or p.parked_at is not null or m.generation <> p.engine_generation as gone`,
    [limit, now ?? null],
  )
  return rows
}

/** Writes how many looks it has had, and when the next one is due; null: there is none. */
export async function setNextLook(db: Queryable, id: number, looks: number, at: Date | null): Promise<void> {
  await db.query(`update messages set looks = $2, reconcile_at = $3 where id = $1 and status = 'unconfirmed'`, [
    id,
    looks,
    at,
  ])
}

/**
 * Unconfirmed messages of these numbers that exactly one report of the engine can explain, where that report can be
 * meant for no other of them: same life of the instance, same words, a recipient that fits, not before it began.
 * The lanes must be locked. While the same words are in flight there since before the report came, it could mean those:
 * nothing is matched. With `told` only reports of the words that these tell of are looked at.
 */
export async function findExplained(tx: Queryable, phoneNumberIds: number[], told?: Receipt[]) {
  const { rows } = await tx.query<{ id: number; whatsapp_id: string; sent_at: Date }>(
    `with fit as (
       select m.id, e.phone_number_id, e.whatsapp_id, e.sent_at,
              count(*) over (partition by m.id) as reports,
              count(*) over (partition by e.phone_number_id, e.whatsapp_id) as messages
         from messages m
         join early_receipts e on e.phone_number_id = m.phone_number_id and e.fingerprint = m.fingerprint
                              and e.generation = m.generation and e.sent_at >= m.starts_at - interval '2 seconds'
                              and (e.recipient = m.recipient
                                   or e.recipient not like '%@g.us' and m.recipient not like '%@g.us'
                                      and (e.recipient like '%@lid' or m.recipient like '%@lid'
                                           or (right(e.recipient, 8) = right(m.recipient, 8)
                                               and left(e.recipient, 2) = left(m.recipient, 2))))
        where m.phone_number_id = any($1::bigint[]) and m.status = 'unconfirmed'
          and ($2::bigint[] is null or m.fingerprint in (
                select r.fingerprint from unnest($2::bigint[], $3::text[]) as t (phone_number_id, whatsapp_id)
                  join early_receipts r using (phone_number_id, whatsapp_id) where r.fingerprint is not null))
          and not exists (select 1 from messages k
                           where k.phone_number_id = e.phone_number_id and k.whatsapp_id = e.whatsapp_id)
          and not exists (select 1 from messages f
                           where f.phone_number_id = m.phone_number_id and f.status = 'sending'
                             and f.fingerprint = m.fingerprint
                             and f.starts_at - interval '2 seconds' <= e.created_at)) -- what came before is not about it
     select id, whatsapp_id, sent_at from fit where reports = 1 and messages = 1`,
    [phoneNumberIds, told?.map((t) => t.phone_number_id) ?? null, told?.map((t) => t.whatsapp_id) ?? null],
  )
  return rows
}

/** Confirms that these went out after all. */
export async function confirm(
  tx: Queryable,
  found: { id: number; whatsapp_id: string; sent_at: Date }[],
): Promise<Changed[]> {
  if (found.length === 0) return []
  const { rows } = await tx.query<Changed>(
    `update messages m
        set status = 'sent', whatsapp_id = f.whatsapp_id, sent_at = f.sent_at, updated_at = now(), reconcile_at = null,
            error_code = null, error_message = null, history = m.history || ${step("'sent'")}
       from unnest($1::bigint[], $2::text[], $3::timestamptz[]) as f (id, whatsapp_id, sent_at), users u, phone_numbers p
      where m.id = f.id and m.status = 'unconfirmed' and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [found.map((f) => f.id), found.map((f) => f.whatsapp_id), found.map((f) => f.sent_at)],
  )
  return rows
}

/** Puts a message whose caller preferred a duplicate to a loss back into its place in the queue. */
export async function requeue(tx: Queryable, id: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update messages
        set status = 'queued', reconcile_at = null, looks = 0, error_code = null, error_message = null, updated_at = now(),
            on_ambiguous = 'keep', history = history || ${step("'queued'", "'on_ambiguous_retry'")}
      where id = $1 and status = 'unconfirmed'`,
    [id],
  )
  return rowCount === 1
}
