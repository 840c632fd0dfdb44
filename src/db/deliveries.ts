import type { Queryable, Transaction } from './database.js'
import * as webhookQueues from './webhook-queues.js'
import type { ClaimScope, DueQueue, Target } from './webhook-queues.js'

/** A delivery a worker has in hand, with all it takes to attempt it. */
export interface DueDelivery {
  id: number
  /** The fence: an outcome that names an older version is refused. */
  version: number
  attempts: number
  attempts_from: number
  phone_number_id: number | null
  event_id: string
  event_type: string
  payload: string
  target: Target
  /** The one delivery by which an open breaker tries its receiver again. */
  probe: boolean
}

/** What a worker has of one webhook, to be left out of its claims. */
export type InHand = Pick<DueDelivery, 'id' | 'version'>

export interface Claim {
  due: DueDelivery[]
  /** Of how many webhooks. */
  webhooks: number
  /** It holds as much as it may. */
  full: boolean
  /** It came to one of its limits: there may be more. */
  more: boolean
}

export interface ClaimLimits {
  total: number
  webhooks: number
  per_webhook: number
  /** Of the payloads, as the database keeps them; the first one comes whatever its size. */
  bytes: number
}

/** A locked queue's part of a claim. */
interface Turn {
  queue: DueQueue
  /** How many it may have. */
  room: number
  in_hand: InHand[]
  taken: number
}

type Found = Omit<DueDelivery, 'target' | 'probe'> & { turn: number; bytes: number }

/**
 * Takes what is due, a few per webhook, so that one long backlog cannot fill the claim. Nothing is written on the
 * deliveries: the lease is the hold of their queue, which outlives the slowest attempt; a worker that dies lets it lapse.
 * What the worker has in hand is asked for under the lock, so that what it has just given back is not left out.
 */
export async function claimDue(
  tx: Transaction,
  scope: ClaimScope,
  limits: ClaimLimits,
  inHandOf: (webhookId: number) => InHand[],
): Promise<Claim> {
  const queues = await webhookQueues.lockDue(tx, scope, limits.webhooks)
  if (queues.length === 0) return { due: [], webhooks: 0, full: false, more: false }
  const turns = queues.map((queue): Turn => {
    // What leaves the hand before the claim has ended was in it when the queue was locked.
    return { queue, room: queue.probe ? 1 : limits.per_webhook, in_hand: [...inHandOf(queue.webhook_id)], taken: 0 }
  })
  const webhookIds = queues.map(({ webhook_id }) => webhook_id)
  const [targets, found] = await Promise.all([
    webhookQueues.listTargets(tx, webhookIds),
    take(tx, scope.now, turns, limits),
  ])
  const full = found.length === limits.total || (found.at(-1)?.bytes ?? 0) >= limits.bytes
  const isEnabled = ({ webhook_id }: DueQueue) => targets.get(webhook_id)!.enabled
  const due = found.flatMap((row): DueDelivery[] => {
    const turn = turns[row.turn - 1]!
    if (!isEnabled(turn.queue)) return []
    turn.taken++
    return [Object.assign(row, { target: targets.get(turn.queue.webhook_id)!, probe: turn.queue.probe })]
  })
  await tx.commitWith(webhookQueues.reschedule(tx, scope, looksOf(turns, isEnabled, full)))
  const webhooks = turns.filter(({ taken }) => taken > 0).length
  return { due, webhooks, full, more: full || queues.length === limits.webhooks }
}

/**
 * Of a troubled queue its numbers in turn, for it may be one of them alone that the receiver refuses, in order within each;
 * the probe of a breaker is of any number, and of what was never tried before what is tried again. As far as a look reaches
 * that costs little.
 */
const fairly = (isDue: string) => `
  select w.*
    from (select w.*, row_number() over (partition by phone_number_id
                                             order by q.probe and attempts > attempts_from, due_at, id) as nth
            from (select * from pending_deliveries p where ${isDue}
                   order by due_at, id limit case when q.probe then 5000 else 500 end) w) w
   where q.troubled order by nth, random() limit q.room`

/**
 * What is due and not in hand: the queues in turn, each in its order, so that the oldest backlog does not fill the claim.
 * Put in order before the payloads come, which a sort would carry along.
 */
async function take(tx: Queryable, now: Date, turns: Turn[], limits: ClaimLimits): Promise<Found[]> {
  const isDue = `p.webhook_id = q.webhook_id and p.due_at <= greatest($3, now())
                 and (p.id, p.version) not in (select * from unnest($4::bigint[], $5::integer[]))`
  const inHand = turns.flatMap(({ in_hand }) => in_hand)
  const { rows } = await tx.query<Found>(
    `select id, version, attempts, attempts_from, phone_number_id, turn, event_id, event_type, payload, bytes
       from (select p.id, p.version, p.attempts, p.attempts_from, p.phone_number_id, p.turn, p.due_at,
                    e.public_id as event_id, e.type as event_type, e.payload, pg_column_size(e.payload) as size,
                    sum(pg_column_size(e.payload)) over (order by p.turn, p.due_at, p.id rows unbounded preceding) as bytes
               from (select * from (
                       select p.*, q.turn
                         from unnest($1::bigint[], $2::integer[], $8::boolean[], $9::boolean[]) with ordinality
                              as q (webhook_id, room, troubled, probe, turn)
                        cross join lateral (
                          (select p.*, null::bigint from pending_deliveries p where not q.troubled and ${isDue}
                            order by due_at, id limit q.room)
                          union all (${fairly(isDue)})) p
                        limit $6) taken
                      order by turn, due_at, id) p
               join events e on e.id = p.event_id) found
      where bytes - size < $7
      order by turn, due_at, id`,
    [
      turns.map(({ queue }) => queue.webhook_id),
      turns.map(({ room }) => room),
      now,
      inHand.map(({ id }) => id),
      inHand.map(({ version }) => version),
      limits.total,
      limits.bytes,
      turns.map(({ queue }) => queue.troubled),
      turns.map(({ queue }) => queue.probe),
    ],
  )
  return rows
}

/** When the claim was full before their turn, queues keep their place. */
function looksOf(turns: Turn[], isEnabled: (queue: DueQueue) => boolean, full: boolean): webhookQueues.Look[] {
  return turns
    .filter(({ queue, taken }) => taken > 0 || !full || !isEnabled(queue))
    .map(({ queue, room, in_hand, taken }) => ({
      webhook_id: queue.webhook_id,
      enabled: isEnabled(queue),
      probed: queue.probe && taken > 0,
      more: isEnabled(queue) && (full || taken === room),
      held: taken > 0 || in_hand.length > 0,
    }))
}

/** Gives back what was claimed and not tried: its queue is looked at again. */
export async function release(tx: Queryable, deliveries: DueDelivery[], now: Date | null): Promise<void> {
  const webhooksOf = (some: DueDelivery[]) => [...new Set(some.map(({ target }) => target.webhook_id))]
  const probes = deliveries.filter((delivery) => delivery.probe)
  await webhookQueues.giveBack(tx, webhooksOf(deliveries), webhooksOf(probes), now)
}
