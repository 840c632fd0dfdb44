import type { Database, Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import * as lanes from '../db/lanes.js'
import * as media from '../db/media.js'
import * as queue from '../db/message-queue.js'
import * as usage from '../db/usage.js'
import { AppError, notFound } from '../errors.js'
import { publicEvent } from './public-events.js'

/** A checked message on its way into its lane. */
export interface Draft {
  user_id: number
  phone_number_id: number
  generation: number
  type: string
  recipient: string
  content: Record<string, unknown>
  fingerprint: Buffer
  reply_to: string | null
  priority: number
  ttl_seconds: number
  on_ambiguous: 'keep' | 'retry'
  quota_day: string
  send_at: Date | null
  retry_of: number | null
  bytes?: Buffer
  idempotency?: { key: string; body_hash: Buffer }
  process_id: number
}

export interface Accepted {
  id: number
  /** Set when the lane was idle: this process sends it now, not before `starts_at`. */
  starts_at?: Date
  blocked: boolean
  /** Messages the user has left for the day; unknown for a repeated call. */
  remaining?: number
}

/**
 * Takes idempotency keys, spends the quota, stores the messages, and starts those whose lane is idle: all in one
 * commit, or nothing. An Error in the answer concerns its own draft only; of a `bulk` nothing starts by itself, and a
 * quota that does not reach for all of them throws and takes none.
 */
export async function accept(db: Database, drafts: Draft[], { bulk = false } = {}): Promise<(Accepted | Error)[]> {
  return db.transaction(async (tx) => {
    const results = new Array<Accepted | Error | undefined>(drafts.length).fill(undefined)
    const repeats = await takeKeys(tx, drafts, results)
    await acceptFresh(tx, drafts, results, !bulk)
    const refused = results.find((result) => result instanceof AppError && result.code === 'quota_exceeded')
    if (bulk && refused instanceof AppError) throw refused
    for (const [draft, first] of repeats) results[draft] = joined(results[first]!)
    await settleKeys(tx, drafts, results, new Set(repeats.keys()))
    return results as (Accepted | Error)[]
  })
}

/** A repeat sees the message of the first, and leaves the sending to it. */
const joined = (first: Accepted | Error) => (first instanceof Error ? first : { id: first.id, blocked: false })

type Results = (Accepted | Error | undefined)[]

/** Answers which drafts repeat an earlier one of the same batch; those whose key is in use get their result. */
async function takeKeys(tx: Queryable, drafts: Draft[], results: Results): Promise<Map<number, number>> {
  const repeats = new Map<number, number>()
  const firsts = new Map<string, number>()
  drafts.forEach((draft, i) => {
    if (!draft.idempotency) return
    const first = firsts.get(keyOf(draft))
    if (first === undefined) firsts.set(keyOf(draft), i)
    else if (drafts[first]!.idempotency!.body_hash.equals(draft.idempotency.body_hash)) repeats.set(i, first)
    else results[i] = mismatch()
  })
  if (firsts.size === 0) return repeats
  const wanted = [...firsts.values()].map((i) => ({ user_id: drafts[i]!.user_id, ...drafts[i]!.idempotency! }))
  const taken = await idempotencyKeys.take(tx, wanted)
  for (const [name, i] of firsts) if (!taken.has(name)) results[i] = await joinEarlier(tx, drafts[i]!)
  for (const i of repeats.keys()) results[i] = PENDING
  return repeats
}

/** A placeholder, so that a repeat within the batch is not accepted by itself. */
const PENDING = new Error('pending')

async function joinEarlier(tx: Queryable, { user_id, idempotency }: Draft): Promise<Accepted | Error> {
  const [found] = await idempotencyKeys.findEach(tx, [{ user_id, key: idempotency!.key }])
  if (!found || found.message_id === null)
    return new AppError('conflict', 'Another request with this key was refused just now. Repeat yours.')
  return found.body_hash.equals(idempotency!.body_hash) ? { id: found.message_id, blocked: false } : mismatch()
}

export const mismatch = () =>
  new AppError(
    'idempotency_mismatch',
    'This Idempotency-Key was used with another body. Use a new key for a new message.',
  )

const keyOf = (draft: Draft) => `${draft.user_id} ${draft.idempotency!.key}`

async function settleKeys(tx: Queryable, drafts: Draft[], results: Results, repeats: Set<number>): Promise<void> {
  const fresh: { user_id: number; key: string; message_id: number | null }[] = []
  drafts.forEach(({ user_id, idempotency }, i) => {
    const result = results[i]!
    if (!idempotency || repeats.has(i)) return
    const { key } = idempotency
    if (result instanceof Error && isRefusal(result)) fresh.push({ user_id, key, message_id: null })
    else if (!(result instanceof Error) && result.remaining !== undefined)
      fresh.push({ user_id, key, message_id: result.id })
  })
  await idempotencyKeys.settle(tx, fresh)
}

/** The draft itself was refused: its key is free again. A mismatch leaves the key with its owner. */
const isRefusal = (err: Error) => err instanceof AppError && (err.code === 'quota_exceeded' || err.code === 'not_found')

async function acceptFresh(tx: Queryable, drafts: Draft[], results: Results, mayStart: boolean): Promise<void> {
  const fresh = drafts.map((draft, i) => ({ draft, i })).filter(({ i }) => results[i] === undefined)
  if (fresh.length === 0) return
  const receipts = await usage.spend(
    tx,
    fresh.map(({ draft }) => ({ user_id: draft.user_id, day: draft.quota_day })),
  )
  const ids = [...new Set(fresh.map(({ draft }) => draft.phone_number_id))]
  const states = new Map((await lanes.lock(tx, ids)).map((lane) => [lane.phone_number_id, lane]))
  const placed: { draft: Draft; i: number; remaining: number }[] = []
  const unplaced: usage.Charge[] = []
  fresh.forEach(({ draft, i }, n) => {
    const { paid, remaining } = receipts[n]!
    const open = states.get(draft.phone_number_id)?.closed === false
    if (paid && open) placed.push({ draft, i, remaining })
    else results[i] = paid ? notFound('phone number') : quotaExceeded()
    if (paid && !open) unplaced.push({ user_id: draft.user_id, day: draft.quota_day })
  })
  await usage.refund(tx, unplaced)
  await store(tx, placed, mayStart ? states : new Map<number, lanes.Lane>(), results)
  await tellThresholds(tx, placed, receipts)
}

export const quotaExceeded = () =>
  new AppError(
    'quota_exceeded',
    'Your plan has no messages left for today. Wait for the next day or ask for a larger plan.',
  )

async function store(
  tx: Queryable,
  placed: { draft: Draft; i: number; remaining: number }[],
  states: Map<number, lanes.Lane>,
  results: Results,
): Promise<void> {
  if (placed.length === 0) return
  const entries = place(
    placed.map(({ draft }) => draft),
    states,
  )
  const ids = await queue.insertOutgoing(tx, entries)
  const files = placed.flatMap(({ draft }, n) => (draft.bytes ? [{ message_id: ids[n]!, bytes: draft.bytes }] : []))
  await Promise.all([media.insert(tx, files), lanes.enter(tx, movesOf(entries, ids))])
  placed.forEach(({ draft, i, remaining }, n) => {
    const lane = states.get(draft.phone_number_id)
    const blocked = lane !== undefined && (lane.blocked_reason !== null || lane.paused)
    results[i] = {
      id: ids[n]!,
      starts_at: entries[n]!.claim?.starts_at,
      blocked: blocked || draft.send_at !== null,
      remaining,
    }
  })
}

/** The first message of an idle lane starts at once, after what is left of the gap; the others wait behind it. */
function place(drafts: Draft[], states: Map<number, lanes.Lane>): queue.NewOutgoing[] {
  const now = Date.now()
  const taken = new Set<number>()
  return drafts.map((draft) => {
    const lane = states.get(draft.phone_number_id)
    if (!lane || draft.send_at || !isIdle(lane, now) || taken.has(lane.phone_number_id)) return draft
    taken.add(lane.phone_number_id)
    const starts_at = new Date(Math.max(now, lane.ready_at.getTime()))
    return { ...draft, claim: { process_id: draft.process_id, starts_at, generation: draft.generation } }
  })
}

/** In a restricted lane only a look into its queue can tell what may go out. */
function isIdle(lane: lanes.Lane, now: number): boolean {
  const restricted = lane.restricted_until !== null && lane.restricted_until.getTime() > now
  return lane.in_flight === null && lane.due_at === null && lane.blocked_reason === null && !lane.paused && !restricted
}

function movesOf(entries: queue.NewOutgoing[], ids: number[]) {
  const moves = new Map<number, { phone_number_id: number; in_flight: number | null; queued: boolean }>()
  entries.forEach((entry, n) => {
    const id = entry.phone_number_id
    const move = moves.get(id) ?? { phone_number_id: id, in_flight: null, queued: false }
    if (entry.claim) move.in_flight = ids[n]!
    else if (!entry.send_at) move.queued = true
    moves.set(id, move)
  })
  return [...moves.values()]
}

const THRESHOLDS = [100, 80]

/** Says once a day, in the commit that crosses it, that 80 % or all of the quota is spent. */
async function tellThresholds(tx: Queryable, placed: { draft: Draft }[], receipts: usage.Receipt[]): Promise<void> {
  const reached = new Map<string, { user_id: number; day: string; percent: number; limit: number; used: number }>()
  for (const { user_id, day, remaining, limit } of receipts) {
    const used = limit - remaining
    const percent = THRESHOLDS.find((threshold) => limit > 0 && used * 100 >= threshold * limit)
    if (percent) reached.set(`${user_id} ${day}`, { user_id, day, percent, limit, used })
  }
  if (placed.length === 0) return
  for (const { user_id, day, percent, limit, used } of reached.values()) {
    if (!(await usage.markTold(tx, user_id, day, percent))) continue
    await events.record(tx, [publicEvent('usage.threshold', { user_id }, { percent, used, limit, day })])
  }
}
