import type { Queryable } from './database.js'
import { type PhoneNumber, columnsOf } from './phone-numbers.js'

/** Where the instances of numbers are, and who may open a socket for them: columns of phone_numbers. */

/** Takes the right to open a socket for the number, for `seconds`; false when somebody else has it. */
export async function claimLinking(db: Queryable, id: number, seconds: number): Promise<boolean> {
  const { rowCount } = await db.query(
    `update phone_numbers set linking_until = now() + make_interval(secs => $2), link_asked_at = now()
      where id = $1 and deleted_at is null and (linking_until is null or linking_until < now())`,
    [id, seconds],
  )
  return rowCount === 1
}

/** Whether its first instance is still being made: nobody knows yet whether there will be a number. */
export async function isBeingMade(db: Queryable, id: number): Promise<boolean> {
  const { rows } = await db.query(
    `select 1 from phone_numbers p join connection_checks c on c.phone_number_id = p.id
      where p.id = $1 and p.linking_until > now() and c.applied is null`,
    [id],
  )
  return rows.length > 0
}

export async function releaseLinking(db: Queryable, id: number): Promise<void> {
  await db.query('update phone_numbers set linking_until = null where id = $1', [id])
}

/** Somebody is still looking for a QR code; written at most once a minute. */
export async function noteAsked(db: Queryable, id: number): Promise<void> {
  await db.query(
    `update phone_numbers set link_asked_at = now()
      where id = $1 and (link_asked_at is null or link_asked_at < now() - interval '1 minute')`,
    [id],
  )
}

export async function setPairingNumber(tx: Queryable, id: number, number: string | null): Promise<void> {
  await tx.query('update phone_numbers set pairing_number = $2, pairing_code = null where id = $1', [id, number])
}

/** A socket is being opened: until a code comes, or the patience with it ends, nobody opens one more. */
export async function noteOpening(db: Queryable, id: number, generation: number): Promise<void> {
  await db.query(
    `update phone_numbers
        set status = 'connecting', status_reason = null, status_changed_at = now(), qr_code = null,
            qr_expires_at = null, pairing_code = null
      where id = $1 and engine_generation = $2
        and (status in ('created', 'qr_ready') or status = 'disconnected' and status_reason is distinct from 'reconnecting')`,
    [id, generation],
  )
}

/** No socket was opened after all: the number is as it was before `noteOpening`, but for codes it showed. */
export async function noteNotOpened(
  db: Queryable,
  { id, engine_generation, status, status_reason }: PhoneNumber,
): Promise<void> {
  await db.query(
    `update phone_numbers set status = $3, status_reason = $4, status_changed_at = now()
      where id = $1 and engine_generation = $2 and status = 'connecting' and $3 <> 'connecting'`,
    [id, engine_generation, status === 'qr_ready' ? 'created' : status, status_reason],
  )
}

export async function moveToServer(db: Queryable, id: number, serverInstance: string): Promise<void> {
  await db.query('update phone_numbers set server_instance = $2 where id = $1', [id, serverInstance])
}

/**
 * Ends the present life of the instance: it is to leave the engine, and what it still says is no longer applied. Its
 * removal must be written down in the same transaction.
 */
export async function park(tx: Queryable, id: number): Promise<void> {
  await tx.query(
    `update phone_numbers
        set engine_generation = engine_generation + 1, parked_at = now(), qr_code = null, qr_expires_at = null,
            pairing_code = null, pairing_number = null, reconnecting_since = null
      where id = $1`,
    [id],
  )
}

/** Begins the life that `park` has made room for, on this server. */
export async function revive(tx: Queryable, id: number, serverInstance: string): Promise<void> {
  await tx.query(
    `update phone_numbers
        set parked_at = null, server_instance = $2, status = 'created', status_reason = null, status_changed_at = now(),
            codeless_since = case when status = 'connecting' then coalesce(codeless_since, status_changed_at) end
      where id = $1`,
    [id, serverInstance],
  )
}

/** Its instance was there before us and goes by its own name: generation 0. */
export async function adopt(tx: Queryable, id: number): Promise<PhoneNumber> {
  const { rows } = await tx.query<PhoneNumber>(
    `update phone_numbers p set engine_generation = 0 where id = $1 returning ${columnsOf('p')}`,
    [id],
  )
  return rows[0]!
}

export type Unlinked = Pick<
  PhoneNumber,
  'id' | 'server_instance' | 'instance_name' | 'engine_generation' | 'receive_groups' | 'status' | 'status_reason'
> & {
  /** Its server is not spoken to. */
  disabled: boolean
}

/** Numbers that wait for a scan nobody makes; those that reconnect by themselves are not among them. */
export async function listUnlinked(db: Queryable, minutes: number, limit: number): Promise<Unlinked[]> {
  const { rows } = await db.query<Unlinked>(
    `select p.id, p.server_instance, p.instance_name, p.engine_generation, p.receive_groups, p.status, p.status_reason,
            s.state = 'disabled' as disabled
       from phone_numbers p join servers s on s.name = p.server_instance
      where p.deleted_at is null and p.parked_at is null and p.status <> 'connected'
        and coalesce(p.link_asked_at, p.created_at) < now() - make_interval(mins => $1)
        and (p.status <> 'disconnected' or p.status_reason <> 'reconnecting')
        and (s.healthy is not false or s.state = 'disabled')
      order by coalesce(p.link_asked_at, p.created_at) limit $2`,
    [minutes, limit],
  )
  return rows
}

/** Every number a server owns, parked ones too. */
export async function listOfServer(db: Queryable, serverInstance: string): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(
    'select id from phone_numbers where server_instance = $1 and deleted_at is null order by id',
    [serverInstance],
  )
  return rows.map((row) => row.id)
}

export async function listOfUser(db: Queryable, userId: number): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(
    'select id from phone_numbers where user_id = $1 and deleted_at is null order by id',
    [userId],
  )
  return rows.map((row) => row.id)
}

export interface Known {
  instance_name: string
  engine_generation: number
  server_instance: string
  deleted: boolean
  parked: boolean
}

/** Those of these instance names that are numbers of ours, deleted ones included. */
export async function findByInstances(db: Queryable, instanceNames: string[]): Promise<Known[]> {
  const { rows } = await db.query<Known>(
    `select instance_name, engine_generation, server_instance, deleted_at is not null as deleted,
            parked_at is not null as parked
       from phone_numbers where instance_name = any($1::text[])`,
    [instanceNames],
  )
  return rows
}

/** Which of these names are numbers of ours, or would be but for a life in their name (`_g2`). It reads all numbers. */
export async function basesInUse(db: Queryable, bases: string[]): Promise<string[]> {
  const { rows } = await db.query<{ base: string }>(
    `select distinct regexp_replace(instance_name, '_g[0-9]{1,9}$', '') as base from phone_numbers
      where regexp_replace(instance_name, '_g[0-9]{1,9}$', '') = any($1::text[])`,
    [bases],
  )
  return rows.map((row) => row.base)
}
