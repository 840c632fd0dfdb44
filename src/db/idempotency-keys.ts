import { type Queryable, inPlace } from './database.js'

export interface IdempotencyKey {
  user_id: number
  key: string
  body_hash: Buffer
}

export interface Remembered {
  body_hash: Buffer
  /** One of these is set. */
  message_id: number | null
  phone_number_id: number | null
  webhook_id: number | null
}

/** What else than a message a key may stand for. */
export type Made = { phone_number_id: number } | { webhook_id: number }

const HOURS = 24

/** Whether the key of this row still counts; part of a statement. */
const isRemembered = (row: string) => `${row}.created_at > now() - make_interval(hours => ${HOURS})`

/** What each of these keys stands for, in their order; undefined for a free one. */
export async function findEach(
  db: Queryable,
  wanted: { user_id: number; key: string }[],
): Promise<(Remembered | undefined)[]> {
  const { rows } = await db.query<Remembered & { place: number }>(
    `select w.place, k.body_hash, k.message_id, k.phone_number_id, k.webhook_id
       from unnest($1::bigint[], $2::text[]) with ordinality as w (user_id, key, place)
       join idempotency_keys k on k.user_id = w.user_id and k.key = w.key
                              and ${isRemembered('k')}`,
    [wanted.map((w) => w.user_id), wanted.map((w) => w.key)],
  )
  return inPlace(rows, wanted.length)
}

/** The same of one key, which until the commit is not given back together with what it stands for. */
export async function hold(tx: Queryable, userId: number, key: string): Promise<Remembered | undefined> {
  const { rows } = await tx.query<Remembered>(
    `select body_hash, message_id, phone_number_id, webhook_id from idempotency_keys k
      where user_id = $1 and key = $2 and ${isRemembered('k')} for key share`,
    [userId, key],
  )
  return rows[0]
}

/**
 * Takes keys that nobody holds, in the order given; answers, by `<user> <key>`, the id of the message that each stands
 * for from now on. A key in another transaction is waited for: the loser sees the message of the winner.
 */
export async function take(tx: Queryable, keys: IdempotencyKey[]): Promise<Map<string, number>> {
  if (keys.length === 0) return new Map()
  const { rows } = await tx.query<{ user_id: number; key: string; message_id: number }>(
    `insert into idempotency_keys as k (user_id, key, body_hash, message_id)
     select * from (
       select user_id, key, body_hash, nextval('messages_id_seq')
         from unnest($1::bigint[], $2::text[], $3::bytea[]) as n (user_id, key, body_hash)) named
      order by user_id, key
         on conflict (user_id, key) do update
        set body_hash = excluded.body_hash, message_id = excluded.message_id, phone_number_id = null, webhook_id = null,
            created_at = now()
      where not ${isRemembered('k')}
     returning user_id, key, message_id`,
    [keys.map((k) => k.user_id), keys.map((k) => k.key), keys.map((k) => k.body_hash)],
  )
  return new Map(rows.map((row) => [`${row.user_id} ${row.key}`, row.message_id]))
}

/** Takes a key that stands for what has been made from now on; false when somebody holds it. */
export async function takeFor(tx: Queryable, key: IdempotencyKey, made: Made): Promise<boolean> {
  const { phone_number_id, webhook_id } = { phone_number_id: null, webhook_id: null, ...made }
  const { rowCount } = await tx.query(
    `insert into idempotency_keys as k (user_id, key, body_hash, phone_number_id, webhook_id) values ($1, $2, $3, $4, $5)
         on conflict (user_id, key) do update
        set body_hash = excluded.body_hash, message_id = null, phone_number_id = excluded.phone_number_id,
            webhook_id = excluded.webhook_id, created_at = now()
      where not ${isRemembered('k')}`,
    [key.user_id, key.key, key.body_hash, phone_number_id, webhook_id],
  )
  return rowCount === 1
}

/** Frees keys whose message, or phone number, did not come to be after all. */
export async function giveBack(tx: Queryable, keys: { user_id: number; key: string }[]): Promise<void> {
  if (keys.length === 0) return
  await tx.query(
    `delete from idempotency_keys k using unnest($1::bigint[], $2::text[]) as n (user_id, key)
      where k.user_id = n.user_id and k.key = n.key`,
    [keys.map((k) => k.user_id), keys.map((k) => k.key)],
  )
}

export async function prune(db: Queryable, batch: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from idempotency_keys where (user_id, key) in (
       select user_id, key from idempotency_keys
        where created_at < coalesce($2, now()) - make_interval(hours => ${HOURS}) limit $1)`,
    [batch, now],
  )
  return rowCount ?? 0
}
