import type { Queryable } from './database.js'

// What shuts lanes, and what opens them again. Lanes are locked in id order, as everybody does.

/** Blocks the lanes of numbers that lost their connection; nothing is due until they are back. */
export async function block(tx: Queryable, phoneNumberIds: number[], reason: string): Promise<void> {
  if (phoneNumberIds.length === 0) return
  await tx.query(
    `update lanes
        set blocked_reason = $2, blocked_since = coalesce(blocked_since, now()), due_at = 'infinity'
      where phone_number_id = any($1::bigint[])`,
    [phoneNumberIds, reason],
  )
}

/** Opens lanes again: what waits in them is looked for at once. */
export async function unblock(tx: Queryable, phoneNumberIds: number[]): Promise<void> {
  if (phoneNumberIds.length === 0) return
  await tx.query(
    `update lanes
        set blocked_reason = held_reason, failures = 0, due_at = now(),
            blocked_since = case when held_reason is not null then coalesce(blocked_since, now()) end
      where phone_number_id = any($1::bigint[])`,
    [phoneNumberIds],
  )
}

export async function close(tx: Queryable, phoneNumberId: number): Promise<void> {
  await tx.query('update lanes set closed = true, due_at = null where phone_number_id = $1', [phoneNumberId])
}

export async function setPaused(tx: Queryable, phoneNumberId: number, paused: boolean): Promise<void> {
  await tx.query(
    `update lanes set paused = $2 or held_reason is not null, own_pause = $2, due_at = coalesce(due_at, now())
      where phone_number_id = $1`,
    [phoneNumberId, paused],
  )
}

/**
 * The operator stops a user's lanes. What waits in them keeps its place, and its time to live runs; the user's own
 * pauses are remembered.
 */
export async function hold(tx: Queryable, phoneNumberIds: number[], reason: string): Promise<void> {
  await tx.query(
    `update lanes
        set own_pause = case when held_reason is null then paused else own_pause end, paused = true, held_reason = $2,
            blocked_reason = coalesce(blocked_reason, $2), blocked_since = coalesce(blocked_since, now())
      where phone_number_id = any($1::bigint[])`,
    [phoneNumberIds, reason],
  )
}

export async function letGo(tx: Queryable, phoneNumberIds: number[]): Promise<void> {
  await tx.query(
    `update lanes
        set paused = own_pause, held_reason = null,
            due_at = case when nullif(blocked_reason, held_reason) is null then now() else due_at end,
            blocked_since = case when blocked_reason is distinct from held_reason then blocked_since end,
            blocked_reason = nullif(blocked_reason, held_reason)
      where phone_number_id = any($1::bigint[]) and held_reason is not null`,
    [phoneNumberIds],
  )
}

/** A server is back: what waited for it is looked for at once instead of at the end of the back-off. */
export async function wakeServer(db: Queryable, serverInstance: string): Promise<void> {
  await db.query(
    `with waiting as (
       select l.phone_number_id
         from lanes l join phone_numbers p on p.id = l.phone_number_id
        where p.server_instance = $1 and p.deleted_at is null and l.blocked_since is not null
          and l.blocked_reason in ('server_unreachable', 'server_refused') and l.due_at > now()
        order by l.phone_number_id for update of l)
     update lanes l set due_at = now(), failures = 0
       from waiting where l.phone_number_id = waiting.phone_number_id`,
    [serverInstance],
  )
}

/** New conversations wait until then; messages to known contacts flow. False when they wait already. */
export async function restrict(tx: Queryable, phoneNumberId: number, until: Date): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update lanes set restricted_until = $2
      where phone_number_id = $1 and (restricted_until is null or restricted_until <= now())`,
    [phoneNumberId, until],
  )
  return rowCount === 1
}
