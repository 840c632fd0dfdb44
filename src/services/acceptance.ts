import type { Database, Queryable } from '../db/database.js'
import * as events from '../db/events.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import * as lanes from '../db/lanes.js'
import * as media from '../db/media.js'
import * as outgoing from '../db/outgoing-messages.js'
import * as usage from '../db/usage.js'
import { AppError, notFound } from '../errors.js'
import type { Day } from './days.js'
import { type Idempotency, mismatch } from './idempotency.js'
import { publicEvent } from './public-events.js'

/** A checked message on its way into its lane. */
export interface Draft extends outgoing.Outgoing {
  bytes?: Buffer
  idempotency?: Idempotency
}

export interface Accepted {
  id: number
  /** Set when the lane was idle: this process sends it now. */
  claim?: outgoing.Claim
  blocked: boolean
  /** Messages the user has left for the day; unknown for a repeated call. */
  remaining?: number
}

/**
 * Takes idempotency keys, spends the quota, stores the messages, and starts those whose lane is idle: all in one
 * commit, or nothing. An Error in the answer concerns its own draft only; of a `bulk` a quota that does not reach for all
 * of it throws and takes none. Those that start are claimed for `process_id`; without one all wait in their lanes.
 */
export async function accept(
  db: Database,
  drafts: Draft[],
  { process_id, bulk = false }: { process_id?: number; bulk?: boolean },
): Promise<(Accepted | Error)[]> {
  return db.transaction(async (tx) => {
    const keys = await takeKeys(tx, drafts)
    const results = drafts.map((_, i) => keys.results.get(i))
    const fresh = drafts.flatMap((draft, i) => (keys.results.has(i) ? [] : [{ draft, i, id: keys.ids.get(i) }]))
    const lot = await reserve(tx, fresh)
    for (const { i, error } of lot.refused) results[i] = error
    const spent = lot.refused.find(({ error }) => error.code === 'quota_exceeded')
    if (bulk && spent) throw spent.error
    if (process_id !== undefined) claimFirst(lot.placed, lot.lanes, process_id)
    for (const entry of lot.placed) results[entry.i] = acceptedOf(entry, lot.lanes)
    await tellThresholds(tx, lot.placed)
    await tx.commitWith(store(tx, lot.placed, unusedKeys(lot.refused, drafts)))
    for (const [repeat, first] of keys.repeats) results[repeat] = joined(results[first]!)
    return results as (Accepted | Error)[]
  })
}

/** A repeat sees the message of the first, and leaves the sending to it. */
const joined = (first: Accepted | Error) => (first instanceof Error ? first : { id: first.id, blocked: false })

interface Keys {
  /** Drafts whose key is in use, by their place: what they are answered. */
  results: Map<number, Accepted | Error | undefined>
  /** Drafts that repeat an earlier one of the same batch. */
  repeats: Map<number, number>
  /** The messages that those who got their key will be. */
  ids: Map<number, number>
}

async function takeKeys(tx: Queryable, drafts: Draft[]): Promise<Keys> {
  const keys: Keys = { results: new Map(), repeats: new Map(), ids: new Map() }
  const firsts = new Map<string, number>()
  drafts.forEach((draft, i) => {
    if (!draft.idempotency) return
    const first = firsts.get(keyOf(draft))
    if (first === undefined) return void firsts.set(keyOf(draft), i)
    const same = drafts[first]!.idempotency!.body_hash.equals(draft.idempotency.body_hash)
    if (same) keys.repeats.set(i, first)
    keys.results.set(i, same ? undefined : mismatch())
  })
  const wanted = [...firsts.values()].map((i) => ({ user_id: drafts[i]!.user_id, ...drafts[i]!.idempotency! }))
  const taken = await idempotencyKeys.take(tx, wanted)
  for (const [name, i] of firsts) {
    const id = taken.get(name)
    if (id === undefined) keys.results.set(i, await joinEarlier(tx, drafts[i]!))
    else keys.ids.set(i, id)
  }
  return keys
}

async function joinEarlier(tx: Queryable, { user_id, idempotency }: Draft): Promise<Accepted | Error> {
  const [found] = await idempotencyKeys.findEach(tx, [{ user_id, key: idempotency!.key }])
  if (!found) return new AppError('conflict', 'Another request with this key was refused just now. Repeat yours.')
  return earlierOf(found, idempotency!.body_hash)
}

/** The message that a key stands for, or the error for another body. */
export const earlierOf = (
  { body_hash, message_id }: idempotencyKeys.Remembered,
  bodyHash: Buffer,
): Accepted | AppError =>
  message_id !== null && body_hash.equals(bodyHash) ? { id: message_id, blocked: false } : mismatch()

const keyOf = (draft: Draft) => `${draft.user_id} ${draft.idempotency!.key}`

/** The keys of drafts that were refused are free again. */
const unusedKeys = (refused: { i: number }[], drafts: Draft[]) =>
  refused.flatMap(({ i }) => {
    const { user_id, idempotency } = drafts[i]!
    return idempotency ? [{ user_id, key: idempotency.key }] : []
  })

interface Placed extends outgoing.NewOutgoing {
  draft: Draft
  i: number
  receipt: usage.Receipt
}

/** Spends the quota and locks the lanes, usage first as everywhere; answers who may enter and who may not. */
async function reserve(tx: Queryable, fresh: { draft: Draft; i: number; id?: number }[]) {
  const charges = fresh.map(({ draft }) => ({ user_id: draft.user_id, day: draft.quota_day }))
  const numbers = [...new Set(fresh.map(({ draft }) => draft.phone_number_id))]
  const unnamed = fresh.filter(({ id }) => id === undefined).length
  const [receipts, locked, ids] = await Promise.all([
    usage.spend(tx, charges),
    lanes.lock(tx, numbers),
    outgoing.takeIds(tx, unnamed),
  ])
  const states = new Map(locked.map((lane) => [lane.phone_number_id, lane]))
  const placed: Placed[] = []
  const refused: { i: number; error: AppError }[] = []
  const unused: usage.Charge[] = []
  fresh.forEach(({ draft, i, id }, n) => {
    const receipt = receipts[n]!
    const open = states.get(draft.phone_number_id)?.closed === false
    if (receipt.paid && open) placed.push({ draft, i, id: id ?? ids.pop()!, receipt })
    else refused.push({ i, error: receipt.paid ? notFound('phone number') : quotaExceeded(draft.quota_day) })
    if (receipt.paid && !open) unused.push(charges[n]!)
  })
  await usage.refund(tx, unused)
  return { placed, refused, lanes: states }
}

/** A message is charged to the day it is to be sent on; whoever knows the user tells what that means for the caller. */
export const quotaExceeded = (day: Day) =>
  new AppError('quota_exceeded', `Your plan has no messages left for ${day}.`, { details: { day } })

async function store(tx: Queryable, placed: Placed[], unused: { user_id: number; key: string }[]): Promise<void> {
  const files = placed.flatMap(({ id, draft }) => (draft.bytes ? [{ message_id: id, bytes: draft.bytes }] : []))
  await Promise.all([
    outgoing.insertOutgoing(tx, placed),
    media.insert(tx, files),
    lanes.enter(tx, movesOf(placed)),
    idempotencyKeys.giveBack(tx, unused),
  ])
}

function acceptedOf({ id, draft, claim, receipt }: Placed, states: Map<number, lanes.Lane>): Accepted {
  const lane = states.get(draft.phone_number_id)!
  const blocked = lane.blocked_reason !== null || lane.paused || draft.send_at !== null
  return { id, claim, blocked, remaining: receipt.remaining }
}

/** The first message of an idle lane starts at once, after what is left of the gap; the others wait behind it. */
function claimFirst(placed: Placed[], states: Map<number, lanes.Lane>, process_id: number): void {
  const now = Date.now()
  const taken = new Set<number>()
  for (const entry of placed) {
    const lane = states.get(entry.draft.phone_number_id)!
    if (entry.draft.send_at || !isIdle(lane, now) || taken.has(lane.phone_number_id)) continue
    taken.add(lane.phone_number_id)
    entry.claim = { process_id, starts_at: new Date(Math.max(now, lane.ready_at.getTime())) }
  }
}

/** In a restricted lane only a look into its queue can tell what may go out. */
function isIdle(lane: lanes.Lane, now: number): boolean {
  const restricted = lane.restricted_until !== null && lane.restricted_until.getTime() > now
  if (lane.ready_at.getTime() > now + lanes.EARLY_SECONDS * 1000) return false
  return lane.in_flight === null && lane.due_at === null && lane.blocked_reason === null && !lane.paused && !restricted
}

function movesOf(placed: Placed[]) {
  const moves = new Map<number, { phone_number_id: number; in_flight: number | null; queued: boolean }>()
  for (const { id, claim, draft } of placed) {
    const { phone_number_id, send_at } = draft
    const move = moves.get(phone_number_id) ?? { phone_number_id, in_flight: null, queued: false }
    if (claim) move.in_flight = id
    else if (!send_at) move.queued = true
    moves.set(phone_number_id, move)
  }
  return [...moves.values()]
}

const THRESHOLDS = [100, 80]

/** Says once a day, in the commit that crosses it, that 80 % or all of the quota is spent. */
async function tellThresholds(tx: Queryable, placed: Placed[]): Promise<void> {
  const reached = new Map<string, { user_id: number; day: string; percent: number; limit: number; used: number }>()
  for (const { receipt } of placed) {
    const { user_id, day, remaining, limit } = receipt
    const used = limit - remaining
    const percent = THRESHOLDS.find((threshold) => limit > 0 && used * 100 >= threshold * limit)
    if (percent) reached.set(`${user_id} ${day}`, { user_id, day, percent, limit, used })
  }
  for (const { user_id, day, percent, limit, used } of reached.values()) {
    if (!(await usage.markTold(tx, user_id, day, percent))) continue
    await events.record(tx, [publicEvent('usage.threshold', { user_id }, { percent, used, limit, day })])
  }
}
