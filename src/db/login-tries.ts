import type { Queryable } from './database.js'

export interface LoginTries {
  subject: Buffer
  failures: number
  last_at: Date
  blocked_until: Date | null
  trusted_until: Date | null
}

/** One row per subject, in the order given, locked until the end of the transaction: tries at once are counted one by one. */
export async function lockAll(tx: Queryable, subjects: Buffer[], now: Date): Promise<LoginTries[]> {
  await tx.query(
    `insert into login_tries (subject, last_at) select s, $2 from unnest($1::bytea[]) as s order by s
         on conflict (subject) do nothing`,
    [subjects, now],
  )
  const { rows } = await tx.query<LoginTries>(
    `select subject, failures, last_at, blocked_until, trusted_until
       from login_tries where subject = any($1::bytea[]) order by subject for update`,
    [subjects],
  )
  return subjects.map((subject) => rows.find((row) => row.subject.equals(subject))!)
}

export async function save(tx: Queryable, tries: LoginTries[]): Promise<void> {
  await tx.query(
    `update login_tries t
        set failures = n.failures, last_at = n.last_at, blocked_until = n.blocked_until, trusted_until = n.trusted_until
       from unnest($1::bytea[], $2::double precision[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
            as n (subject, failures, last_at, blocked_until, trusted_until)
      where t.subject = n.subject`,
    [
      tries.map((one) => one.subject),
      tries.map((one) => one.failures),
      tries.map((one) => one.last_at),
      tries.map((one) => one.blocked_until),
      tries.map((one) => one.trusted_until),
    ],
  )
}

/** Forgets what no longer slows anybody down and is trusted no more. */
export async function deleteOld(db: Queryable, days: number, now?: Date): Promise<void> {
  await db.query(
    `delete from login_tries
      where last_at < coalesce($2, now()) - make_interval(days => $1)
        and coalesce(trusted_until, '-infinity') < coalesce($2, now())`,
    [days, now ?? null],
  )
}
