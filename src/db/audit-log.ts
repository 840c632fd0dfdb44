import type { Queryable } from './database.js'

export interface AuditEntry {
  id: number
  at: Date
  actor: string
  action: string
  target: Record<string, unknown>
  details: Record<string, unknown>
  ip_address: string | null
  request_id: string
  status_code: number | null
}

export type NewAuditEntry = Omit<AuditEntry, 'id' | 'at' | 'status_code'>

export async function insert(db: Queryable, entry: NewAuditEntry): Promise<number> {
  const { rows } = await db.query<{ id: number }>(
    `insert into audit_log (actor, action, target, details, ip_address, request_id)
     values ($1, $2, $3, $4, $5, $6) returning id`,
    [entry.actor, entry.action, entry.target, entry.details, entry.ip_address, entry.request_id],
  )
  return rows[0]!.id
}

export async function complete(db: Queryable, id: number, statusCode: number): Promise<void> {
  await db.query('update audit_log set status_code = $2 where id = $1', [id, statusCode])
}

export async function list(db: Queryable, page: { before?: number; limit: number }): Promise<AuditEntry[]> {
  const { rows } = await db.query<AuditEntry>(
    `select id, at, actor, action, target, details, ip_address, request_id, status_code
       from audit_log where id < $1 order by id desc limit $2`,
    [page.before ?? Number.MAX_SAFE_INTEGER, page.limit],
  )
  return rows
}

/** Takes what names this user out of what operators asked for: it was made under this address, or changed by its id. */
export async function forgetUser(tx: Queryable, { id, email }: { id: number; email: string }): Promise<void> {
  await tx.query(
    `update audit_log set details = details - '{email,full_name,company_name}'::text[]
      where (action like 'users.%' and target->>'id' = $1::text) or lower(trim(details->>'email')) = lower($2)`,
    [id, email],
  )
}
