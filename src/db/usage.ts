import type { Queryable } from './database.js'

export interface Charge {
  user_id: number
  day: string
}

const key = (charge: Charge) => `${charge.user_id} ${charge.day}`

export interface Receipt extends Charge {
  paid: boolean
  limit: number
  /** Messages left for the day, after this batch. */
  remaining: number
}

/**
 * Charges one message per row against its user's limit of the day. Answers which rows were paid, in their order; the
 * limit is checked inside the statement, so two at once cannot pass it together.
 */
export async function spend(tx: Queryable, charges: Charge[]): Promise<Receipt[]> {
  const counts = countBy(charges)
  const paid = await add(tx, [...counts.values()])
  for (const count of counts.values()) if (!paid.has(key(count))) paid.set(key(count), await addWhatFits(tx, count))
  const left = new Map([...paid].map(([name, { n }]) => [name, n]))
  return charges.map((charge) => {
    const n = left.get(key(charge))!
    left.set(key(charge), n - 1)
    const { remaining, limit } = paid.get(key(charge))!
    return { user_id: charge.user_id, day: charge.day, paid: n > 0, remaining, limit }
  })
}

interface Paid {
  n: number
  remaining: number
  limit: number
}

interface Count extends Charge {
  n: number
}

function countBy(charges: Charge[]): Map<string, Count> {
  const counts = new Map<string, Count>()
  for (const charge of charges) {
    const count = counts.get(key(charge))
    if (count) count.n++
    else counts.set(key(charge), { user_id: charge.user_id, day: charge.day, n: 1 })
  }
  return counts
}

/**
 * All or nothing per user and day; answers how many were paid for each that had room. Every row is there and locked
 * afterwards, also those without room.
 */
async function add(tx: Queryable, counts: Count[]): Promise<Map<string, Paid>> {
  const { rows } = await tx.query<Charge & { used: number; limit: number }>(
    `with charge as (
       select * from unnest($1::bigint[], $2::date[], $3::integer[]) as c (user_id, day, n))
     insert into daily_usage as d (user_id, day, used)
     select c.user_id, c.day, case when c.n <= u.max_messages_per_day then c.n else 0 end
       from charge c join users u on u.id = c.user_id
      order by c.user_id, c.day
         on conflict (user_id, day) do update set used = d.used + excluded.used
      where excluded.used > 0
        and d.used + excluded.used <= (select max_messages_per_day from users where id = d.user_id)
     returning d.user_id, d.day, d.used,
               (select max_messages_per_day from users where id = d.user_id) as limit`,
    [counts.map((c) => c.user_id), counts.map((c) => c.day), counts.map((c) => c.n)],
  )
  const byKey = new Map(counts.map((count) => [key(count), count.n]))
  const paid = rows.filter((row) => row.used > 0)
  return new Map(
    paid.map((row) => [key(row), { n: byKey.get(key(row))!, remaining: row.limit - row.used, limit: row.limit }]),
  )
}

/** The last few of a day: as many as still fit. Another writer may take some in between, so it looks again. */
async function addWhatFits(tx: Queryable, count: Count): Promise<Paid> {
  for (;;) {
    const { rows } = await tx.query<{ room: number; limit: number }>(
      `select u.max_messages_per_day - coalesce(d.used, 0) as room, u.max_messages_per_day as limit
         from users u left join daily_usage d on d.user_id = u.id and d.day = $2
        where u.id = $1`,
      [count.user_id, count.day],
    )
    const n = Math.min(count.n, rows[0]?.room ?? 0)
    if (n <= 0) return { n: 0, remaining: 0, limit: rows[0]?.limit ?? 0 }
    const paid = (await add(tx, [{ ...count, n }])).get(key(count))
    if (paid) return paid
  }
}

/** Gives back what was charged for messages that will never go out. */
export async function refund(tx: Queryable, charges: Charge[]): Promise<void> {
  if (charges.length === 0) return
  const counts = [...countBy(charges).values()]
  await tx.query(
    `with back as (
       select * from unnest($1::bigint[], $2::date[], $3::integer[]) as b (user_id, day, n)),
     locked as (
       select d.user_id, d.day, b.n
         from daily_usage d join back b on b.user_id = d.user_id and b.day = d.day
        order by d.user_id, d.day for update of d)
     update daily_usage d set used = greatest(0, d.used - locked.n)
       from locked where d.user_id = locked.user_id and d.day = locked.day`,
    [counts.map((c) => c.user_id), counts.map((c) => c.day), counts.map((c) => c.n)],
  )
}

/** The days these messages were charged to, for whoever may refund them: everybody locks usage first, lanes second. */
export async function lockOf(tx: Queryable, messageIds: number[]): Promise<void> {
  if (messageIds.length === 0) return
  await tx.query(
    `select 1 from daily_usage d
      where (d.user_id, d.day) in (select user_id, quota_day from messages where id = any($1::bigint[]))
      order by d.user_id, d.day for update of d`,
    [messageIds],
  )
}

/** All days of users, where it is not known yet which are concerned. */
export async function lockAll(tx: Queryable, userIds: number[]): Promise<void> {
  if (userIds.length === 0) return
  await tx.query('select 1 from daily_usage where user_id = any($1::bigint[]) order by user_id, day for update', [
    userIds,
  ])
}

export async function usedOn(db: Queryable, userId: number, day: string): Promise<number> {
  const { rows } = await db.query<{ used: number }>('select used from daily_usage where user_id = $1 and day = $2', [
    userId,
    day,
  ])
  return rows[0]?.used ?? 0
}

/** True for the first to reach this threshold (80 or 100, in percent) on that day. */
export async function markTold(tx: Queryable, userId: number, day: string, percent: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    'update daily_usage set told = $3 where user_id = $1 and day = $2 and told < $3',
    [userId, day, percent],
  )
  return rowCount === 1
}

/** The thresholds of a higher limit are new ones. */
export async function forgetTold(tx: Queryable, userIds: number[]): Promise<void> {
  if (userIds.length === 0) return
  await lockAll(tx, userIds)
  await tx.query('update daily_usage set told = 0 where user_id = any($1::bigint[]) and told > 0', [userIds])
}
