import type { Queryable } from './database.js'

export interface ApiRequest {
  user_id: number | null
  api_key_id: number | null
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
    `insert into api_requests (user_id, endpoint, method, ip_address, status_code, duration_ms, request_id, created_at,
                               api_key_id)
     select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[],
                          $8::timestamptz[], $9::bigint[])`,
    [
      requests.map((r) => r.user_id),
      requests.map((r) => r.endpoint),
      requests.map((r) => r.method),
      requests.map((r) => r.ip_address),
      requests.map((r) => r.status_code),
      requests.map((r) => r.duration_ms),
      requests.map((r) => r.request_id),
      requests.map((r) => r.created_at),
      requests.map((r) => r.api_key_id),
    ],
  )
}

/** Deletes up to `limit` rows older than that many days; answers how many went. */
export async function prune(db: Queryable, days: number, limit: number, now: Date | null): Promise<number> {
  const { rowCount } = await db.query(
    `delete from api_requests where id in (
       select id from (select id, created_at from api_requests order by id limit $2) oldest
        where created_at < coalesce($3, now()) - make_interval(days => $1))`,
    [days, limit, now],
  )
  return rowCount ?? 0
}

export interface RequestFilter {
  endpoint?: string
  method?: string
  min_status?: number
  max_status?: number
  from?: Date
  to?: Date
  before?: number
  limit: number
}

/** The user's own requests, newest first. */
export async function listOwned(db: Queryable, userId: number, filter: RequestFilter): Promise<LoggedRequest[]> {
  const failed = (filter.min_status ?? 0) >= 400 ? 'and status_code >= 400' : '' // lets the small index be used
  const { rows } = await db.query<LoggedRequest>(
    `select id, api_key_id, endpoint, method, ip_address, status_code, duration_ms, request_id, created_at
       from api_requests
      where user_id = $1 and id < $2 ${failed}
        and ($3::text is null or endpoint = $3) and ($4::text is null or method = $4)
        and status_code between $5 and $6
        and ($7::timestamptz is null or created_at >= $7) and ($8::timestamptz is null or created_at < $8)
      order by id desc limit $9`,
    [
      userId,
      filter.before ?? Number.MAX_SAFE_INTEGER,
      filter.endpoint ?? null,
      filter.method ?? null,
      filter.min_status ?? 0,
      filter.max_status ?? 999,
      filter.from ?? null,
      filter.to ?? null,
      filter.limit,
    ],
  )
  return rows
}

export type LoggedRequest = Omit<ApiRequest, 'user_id'> & { id: number }
