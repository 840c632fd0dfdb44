import type { Database, Queryable } from '../db/database.js'
import * as lanes from '../db/lanes.js'
import * as media from '../db/media.js'
import * as messages from '../db/messages.js'
import * as usage from '../db/usage.js'
import { AppError, notFound } from '../errors.js'

/** A checked message on its way into its lane. */
export interface Draft {
  user_id: number
  phone_number_id: number
  generation: number
  type: string
  recipient: string
  content: Record<string, unknown>
  priority: number
  ttl_seconds: number
  quota_day: string
  bytes?: Buffer
  process_id: number
}

export interface Accepted {
  id: number
  /** Set when the lane was idle: this process sends it now, not before `starts_at`. */
  starts_at?: Date
  blocked: boolean
  /** Messages the user has left for the day. */
  remaining: number
}

/** Spends the quota, stores the messages, and starts those whose lane is idle: all of it in one commit, or nothing. */
export async function accept(db: Database, drafts: Draft[]): Promise<(Accepted | Error)[]> {
  return db.transaction(async (tx) => {
    const receipts = await usage.spend(
      tx,
      drafts.map(({ user_id, quota_day }) => ({ user_id, day: quota_day })),
    )
    const states = new Map((await lanes.lock(tx, distinct(drafts))).map((lane) => [lane.phone_number_id, lane]))
    const paid = receipts.map((receipt) => receipt.paid)
    const open = (draft: Draft) => states.get(draft.phone_number_id)?.closed === false
    await refundUnplaced(tx, drafts, (draft, i) => paid[i]! && !open(draft))

    const placed = drafts.filter((draft, i) => paid[i] && open(draft))
    const entries = place(placed, states)
    const ids = await messages.insertOutgoing(tx, entries)
    await media.insert(tx, withBytes(placed, ids))
    await lanes.enter(tx, movesOf(entries, ids))

    let next = 0
    return drafts.map((draft, i) => {
      if (!paid[i]) return quotaExceeded()
      if (!open(draft)) return notFound('phone number')
      const at = next++
      const blocked = states.get(draft.phone_number_id)!.blocked_reason !== null
      return { id: ids[at]!, starts_at: entries[at]!.claim?.starts_at, blocked, remaining: receipts[i]!.remaining }
    })
  })
}

const quotaExceeded = () =>
  new AppError(
    'quota_exceeded',
    'Your plan has no messages left for today. Wait for the next day or ask for a larger plan.',
  )

/** The first message of an idle lane starts at once, after what is left of the gap; the others wait behind it. */
function place(drafts: Draft[], states: Map<number, lanes.Lane>): messages.NewOutgoing[] {
  const now = Date.now()
  const taken = new Set<number>()
  return drafts.map((draft) => {
    const lane = states.get(draft.phone_number_id)!
    if (!isIdle(lane) || taken.has(lane.phone_number_id)) return draft
    taken.add(lane.phone_number_id)
    const starts_at = new Date(Math.max(now, lane.ready_at.getTime()))
    return { ...draft, claim: { process_id: draft.process_id, starts_at, generation: draft.generation } }
  })
}

const isIdle = (lane: lanes.Lane) =>
  lane.in_flight === null && lane.due_at === null && lane.blocked_reason === null && !lane.paused

function movesOf(entries: messages.NewOutgoing[], ids: number[]) {
  const moves = new Map<number, { phone_number_id: number; in_flight: number | null; queued: boolean }>()
  entries.forEach((entry, i) => {
    const id = entry.phone_number_id
    const move = moves.get(id) ?? { phone_number_id: id, in_flight: null, queued: false }
    if (entry.claim) move.in_flight = ids[i]!
    else move.queued = true
    moves.set(id, move)
  })
  return [...moves.values()]
}

async function refundUnplaced(tx: Queryable, drafts: Draft[], isUnplaced: (draft: Draft, i: number) => boolean) {
  const unplaced = drafts.filter(isUnplaced)
  await usage.refund(
    tx,
    unplaced.map(({ user_id, quota_day }) => ({ user_id, day: quota_day })),
  )
}

const distinct = (drafts: Draft[]) => [...new Set(drafts.map((draft) => draft.phone_number_id))]

function withBytes(drafts: Draft[], ids: number[]) {
  return drafts.flatMap(({ bytes }, i) => (bytes ? [{ message_id: ids[i]!, bytes }] : []))
}
