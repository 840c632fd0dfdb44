import * as connectionChecks from './connection-checks.js'
import { type Queryable, inPlace } from './database.js'

export type Status = 'created' | 'connecting' | 'qr_ready' | 'connected' | 'disconnected'

export interface PhoneNumber {
  id: number
  user_id: number
  server_instance: string
  instance_name: string
  engine_generation: number
  token: string
  phone_number: string | null
  display_name: string
  status: Status
  status_reason: string | null
  status_changed_at: Date
  /** When the first of the connections began that showed no QR code; null before it is replaced, and once one is shown. */
  codeless_since: Date | null
  reconnecting_since: Date | null
  restriction: { type: string; until: string } | null
  ack_ratio_1h: number | null
  degraded_since: Date | null
  qr_code: string | null
  qr_expires_at: Date | null
  /** Valid as long as the QR code. */
  pairing_code: string | null
  pairing_number: string | null
  /** Set: it has no instance on the engine; one is made when somebody asks for a QR code. */
  parked_at: Date | null
  drops: number
  dropped_at: Date | null
  unstable_since: Date | null
  /** What its user was last told: `connected` or `disconnected`. */
  told_status: string | null
  webhook_url: string | null
  metadata: Record<string, unknown>
  receive_groups: boolean
  first_connected_at: Date | null
  last_event_at: Date | null
  last_received_at: Date | null
  created_at: Date
}

export type NewPhoneNumber = Pick<
  PhoneNumber,
  'user_id' | 'server_instance' | 'instance_name' | 'token' | 'display_name' | 'metadata' | 'receive_groups'
>

const names = [
  'id',
  'user_id',
  'server_instance',
  'instance_name',
  'engine_generation',
  'token',
  'phone_number',
  'display_name',
  'status',
  'status_reason',
  'status_changed_at',
  'codeless_since',
  'reconnecting_since',
  'restriction',
  'ack_ratio_1h',
  'degraded_since',
  'qr_code',
  'qr_expires_at',
  'pairing_code',
  'pairing_number',
  'parked_at',
  'drops',
  'dropped_at',
  'unstable_since',
  'told_status',
  'webhook_url',
  'metadata',
  'receive_groups',
  'first_connected_at',
  'last_event_at',
  'last_received_at',
  'created_at',
]
const columns = names.join(', ')

/** The same, of a table that goes by another name in the statement. */
export const columnsOf = (alias: string) => names.map((name) => `${alias}.${name}`).join(', ')

/** Stores the number together with its empty lane and its place among the connections to look after. */
export async function insert(tx: Queryable, phone: NewPhoneNumber): Promise<PhoneNumber> {
  const { rows } = await tx.query<PhoneNumber>(
    `insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, metadata, receive_groups)
     values ($1, $2, $3, $4, $5, $6, $7)
     returning ${columns}`,
    [
      phone.user_id,
      phone.server_instance,
      phone.instance_name,
      phone.token,
      phone.display_name,
      phone.metadata,
      phone.receive_groups,
    ],
  )
  await tx.query('insert into lanes (phone_number_id) values ($1)', [rows[0]!.id])
  await connectionChecks.insert(tx, rows[0]!.id)
  return rows[0]!
}

export async function countOwned(db: Queryable, userId: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    'select count(*) as count from phone_numbers where user_id = $1 and deleted_at is null',
    [userId],
  )
  return rows[0]!.count
}

export async function findOwned(db: Queryable, userId: number, id: number): Promise<PhoneNumber | undefined> {
  const { rows } = await db.query<PhoneNumber>(
    `select ${columns} from phone_numbers where user_id = $1 and id = $2 and deleted_at is null`,
    [userId, id],
  )
  return rows[0]
}

const senderNames = [
  'id',
  'server_instance',
  'instance_name',
  'engine_generation',
  'status',
  'status_reason',
  'first_connected_at',
] as const

/** What a number that sends must be known by; it is read for every message. */
export type Sender = Pick<PhoneNumber, (typeof senderNames)[number]>

/** One number or undefined for each of these, in their order. */
export async function findEachByToken(
  db: Queryable,
  wanted: { user_id: number; token: string }[],
): Promise<(Sender | undefined)[]> {
  const { rows } = await db.query<Sender & { place: number }>(
    `select w.place, ${senderNames.map((name) => `p.${name}`).join(', ')}
       from unnest($1::bigint[], $2::text[]) with ordinality as w (user_id, token, place)
       join phone_numbers p on p.token = w.token and p.user_id = w.user_id and p.deleted_at is null`,
    [wanted.map((w) => w.user_id), wanted.map((w) => w.token)],
  )
  return inPlace(rows, wanted.length)
}

/** The user's connected numbers, always in the same order: `from: "auto"` takes them in turn. */
export async function listConnected(db: Queryable, userId: number): Promise<PhoneNumber[]> {
  const { rows } = await db.query<PhoneNumber>(
    `select ${columns} from phone_numbers
      where user_id = $1 and deleted_at is null and status = 'connected' order by id`,
    [userId],
  )
  return rows
}

export interface ListPage {
  before?: number
  limit: number
  status?: Status
}

export async function listOwned(db: Queryable, userId: number, page: ListPage): Promise<PhoneNumber[]> {
  const { rows } = await db.query<PhoneNumber>(
    `select ${columns} from phone_numbers
      where user_id = $1 and deleted_at is null and id < $2 and ($4::text is null or status = $4)
      order by id desc limit $3`,
    [userId, page.before ?? Number.MAX_SAFE_INTEGER, page.limit, page.status ?? null],
  )
  return rows
}

export async function countByStatus(db: Queryable, userId: number): Promise<Record<string, number>> {
  const { rows } = await db.query<{ status: string; count: number }>(
    'select status, count(*) as count from phone_numbers where user_id = $1 and deleted_at is null group by status',
    [userId],
  )
  return Object.fromEntries(rows.map((row) => [row.status, row.count]))
}

export async function update(
  tx: Queryable,
  id: number,
  change: Pick<PhoneNumber, 'display_name' | 'metadata' | 'receive_groups'>,
): Promise<void> {
  await tx.query('update phone_numbers set display_name = $2, metadata = $3, receive_groups = $4 where id = $1', [
    id,
    change.display_name,
    change.metadata,
    change.receive_groups,
  ])
}

/** Deletes softly: statistics stay, the limit is free again, nothing may enter the lane any more. */
export async function markDeleted(tx: Queryable, id: number): Promise<void> {
  await tx.query('update phone_numbers set deleted_at = now(), qr_code = null, webhook_url = null where id = $1', [id])
}

/** Forgets a number that never came to be. */
export async function remove(tx: Queryable, id: number): Promise<void> {
  await tx.query('delete from phone_numbers where id = $1', [id])
}

/** The numbers behind engine names, locked in id order; deleted ones are left out. */
export async function lockByInstances(tx: Queryable, instanceNames: string[]): Promise<(PhoneNumber & Zone)[]> {
  if (instanceNames.length === 0) return []
  const { rows } = await tx.query<PhoneNumber & Zone>(
    `select ${columnsOf('p')}, u.time_zone
       from phone_numbers p join users u on u.id = p.user_id
      where p.instance_name = any($1::text[]) and p.deleted_at is null
      order by p.id for no key update of p`,
    [instanceNames],
  )
  return rows
}

export async function lock(tx: Queryable, id: number): Promise<(PhoneNumber & Zone) | undefined> {
  const { rows } = await tx.query<PhoneNumber & Zone>(
    `select ${columnsOf('p')}, u.time_zone
       from phone_numbers p join users u on u.id = p.user_id
      where p.id = $1 and p.deleted_at is null
        for no key update of p`,
    [id],
  )
  return rows[0]
}

export interface Zone {
  time_zone: string
}
