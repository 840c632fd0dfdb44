import type { Queryable } from './database.js'
import type { PhoneNumber } from './phone-numbers.js'

/** What the engine's words move in a row of phone_numbers; everything else of a number has its own function. */
export type EngineState = Pick<
  PhoneNumber,
  | 'status'
  | 'status_reason'
  | 'status_changed_at'
  | 'reconnecting_since'
  | 'phone_number'
  | 'qr_code'
  | 'qr_expires_at'
  | 'pairing_code'
  | 'first_connected_at'
  | 'last_event_at'
  | 'last_received_at'
  | 'drops'
  | 'dropped_at'
  | 'unstable_since'
  | 'told_status'
>

export async function saveEngineStates(tx: Queryable, phones: (EngineState & { id: number })[]): Promise<void> {
  if (phones.length === 0) return
  await tx.query(
    `update phone_numbers p
        set status = n.status, status_reason = n.status_reason, status_changed_at = n.status_changed_at,
            reconnecting_since = n.reconnecting_since, phone_number = n.phone_number, qr_code = n.qr_code,
            qr_expires_at = n.qr_expires_at, pairing_code = n.pairing_code, first_connected_at = n.first_connected_at,
            last_event_at = n.last_event_at, last_received_at = n.last_received_at, drops = n.drops,
            dropped_at = n.dropped_at, unstable_since = n.unstable_since, told_status = n.told_status,
            codeless_since = case when n.status not in ('qr_ready', 'connected') then p.codeless_since end
       from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[],
                   $8::timestamptz[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
                   $13::integer[], $14::timestamptz[], $15::timestamptz[], $16::text[])
            as n (id, status, status_reason, status_changed_at, reconnecting_since, phone_number, qr_code,
                  qr_expires_at, pairing_code, first_connected_at, last_event_at, last_received_at, drops, dropped_at,
                  unstable_since, told_status)
      where p.id = n.id`,
    [
      phones.map((p) => p.id),
      phones.map((p) => p.status),
      phones.map((p) => p.status_reason),
      phones.map((p) => p.status_changed_at),
      phones.map((p) => p.reconnecting_since),
      phones.map((p) => p.phone_number),
      phones.map((p) => p.qr_code),
      phones.map((p) => p.qr_expires_at),
      phones.map((p) => p.pairing_code),
      phones.map((p) => p.first_connected_at),
      phones.map((p) => p.last_event_at),
      phones.map((p) => p.last_received_at),
      phones.map((p) => p.drops),
      phones.map((p) => p.dropped_at),
      phones.map((p) => p.unstable_since),
      phones.map((p) => p.told_status),
    ],
  )
}

export type Stalled = Pick<
  PhoneNumber,
  'id' | 'server_instance' | 'instance_name' | 'engine_generation' | 'receive_groups'
>

/**
 * Numbers whose engine has been opening new sockets for longer than the grace. Those of a server that is away are left
 * alone: losing a server is the operator's trouble, not a word to each user.
 */
export async function listStalled(db: Queryable, graceSeconds: number): Promise<Stalled[]> {
  const { rows } = await db.query<Stalled>(
    `select p.id, p.server_instance, p.instance_name, p.engine_generation, p.receive_groups from phone_numbers p join servers s on s.name = p.server_instance
      where p.reconnecting_since < now() - make_interval(secs => $1) and p.status = 'connected'
        and p.deleted_at is null and s.healthy is not false and s.state <> 'disabled'
      limit 500`,
    [graceSeconds],
  )
  return rows
}

/** Numbers that came and went, and have not for a while. */
export async function listCalm(db: Queryable, seconds: number): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(
    `select id from phone_numbers
      where unstable_since is not null and deleted_at is null
        and coalesce(dropped_at, unstable_since) < now() - make_interval(secs => $1)
      limit 500`,
    [seconds],
  )
  return rows.map((row) => row.id)
}

/** When the number last sent, in any way. */
export async function lastSentAt(db: Queryable, id: number): Promise<Date | null> {
  const { rows } = await db.query<{ at: Date | null }>(
    `select max(sent_at) as at from messages
      where phone_number_id = $1 and direction = 'outgoing' and sent_at is not null`,
    [id],
  )
  return rows[0]?.at ?? null
}
