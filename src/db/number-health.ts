import type { Queryable } from './database.js'

export interface AckRatio {
  id: number
  /** Null: nothing was sent. */
  ratio: number | null
  sample: number
  ack_ratio_1h: number | null
  degraded_since: Date | null
}

/**
 * Of what each number sent in the last hour (and long enough ago to be acknowledged), the share that was delivered,
 * beside what was written of it before.
 */
export async function measureAcks(db: Queryable, settledSeconds: number, now?: Date): Promise<AckRatio[]> {
  const { rows } = await db.query<AckRatio>(
    `select p.id, m.ratio, m.sample, p.ack_ratio_1h, p.degraded_since
       from phone_numbers p
      cross join lateral (
        select count(*) as sample,
               count(*) filter (where status in ('delivered', 'read'))::double precision / nullif(count(*), 0) as ratio
          from messages
         where phone_number_id = p.id and direction = 'outgoing' and source = 'api' and recipient not like '%@g.us'
           and sent_at between coalesce($2, now()) - interval '1 hour' - make_interval(secs => $1)
                           and coalesce($2, now()) - make_interval(secs => $1)) m
      where p.deleted_at is null and p.status = 'connected' and (m.sample > 0 or p.ack_ratio_1h is not null)`,
    [settledSeconds, now ?? null],
  )
  return rows
}

export async function saveAckRatio(
  tx: Queryable,
  id: number,
  ratio: number | null,
  degradedSince: Date | null,
): Promise<void> {
  await tx.query('update phone_numbers set ack_ratio_1h = $2, degraded_since = $3 where id = $1', [
    id,
    ratio,
    degradedSince,
  ])
}

/** Refusals of new contacts in a row, after this one. */
export async function countRefusal(tx: Queryable, id: number, refused: boolean): Promise<number> {
  const { rows } = await tx.query<{ refusals: number }>(
    `update phone_numbers set refusals = case when $2 then refusals + 1 else 0 end
      where id = $1 and ($2 or refusals > 0) returning refusals`,
    [id, refused],
  )
  return rows[0]?.refusals ?? 0
}

export async function setRestriction(tx: Queryable, id: number, restriction: object): Promise<void> {
  await tx.query('update phone_numbers set restriction = $2 where id = $1', [id, restriction])
}
