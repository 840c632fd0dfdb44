import type { Queryable } from './database.js'

export interface ApiRequest {
  user_id: number | null
  endpoint: string
  method: string
  ip_address: string | null
  status_code: number
  duration_ms: number
  request_id: string
  created_at: Date
}

/** Written without waiting for the disk: a crash may lose the last second of the log, nothing else. */
export async function insert(tx: Queryable, requests: ApiRequest[]): Promise<void> {
  await tx.query('set local synchronous_commit = off')
  await tx.query(
    `insert into api_requests (user_id, endpoint, method, ip_address, status_code, duration_ms, request_id, created_at)
     select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[],
                          $8::timestamptz[])`,
    [
      requests.map((r) => r.user_id),
      requests.map((r) => r.endpoint),
      requests.map((r) => r.method),
      requests.map((r) => r.ip_address),
      requests.map((r) => r.status_code),
      requests.map((r) => r.duration_ms),
      requests.map((r) => r.request_id),
      requests.map((r) => r.created_at),
    ],
  )
}

/** Deletes up to `limit` rows older than that many days; answers how many went. */
export async function prune(db: Queryable, days: number, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `delete from api_requests where id in (
       select id from (select id, created_at from api_requests order by id limit $2) oldest
        where created_at < now() - make_interval(days => $1))`,
    [days, limit],
  )
  return rowCount ?? 0
}
