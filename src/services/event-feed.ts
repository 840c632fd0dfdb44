import { setTimeout as pause } from 'node:timers/promises'
import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import type { FeedEvent } from '../db/events.js'
import type { User } from '../db/users.js'
import { type AppError, invalidRequest, notFound } from '../errors.js'
import { Readers } from './feed-readers.js'
import type { FeedWatch } from './feed-watch.js'
import { refuseUnknownTypes } from './public-events.js'

const STREAM_PAGE = 100
/** A stream ends after this and is resumed by its reader, so that a revoked key does not read on for ever. */
const STREAM_MS = 10 * 60_000
const HEARTBEAT_MS = 15_000
const MAX_STREAMS_PER_USER = 20
const MAX_POLLS_PER_USER = 50
/** Looks of one reader that find nothing of its types, and full pages of a stream, come no faster than this: others read too. */
const NOTHING_FOUND_MS = 250
const FULL_PAGE_MS = 10

export interface FeedQuery {
  after?: string
  types?: string[]
  limit: number
  /** Seconds to wait for the first event. */
  wait: number
}

export interface FeedPage {
  events: FeedEvent[]
  next_cursor: string
  /** Events between the cursor and the end of this page that are past their retention. */
  expired: number
}

/** Who reads, for longer than a call takes. */
export interface Reader {
  /** Aborted when the reader has left. */
  gone: AbortSignal
  /** Throws when the reader may not read any more: a key is revoked, a user suspended. */
  accessNow: () => Promise<unknown>
}

/** The user's own events in the order they happened, for those who have no public URL. */
export class EventFeed {
  private readonly streams = new Readers(MAX_STREAMS_PER_USER, 'streams')
  private readonly polls = new Readers(MAX_POLLS_PER_USER, 'waiting calls')

  constructor(
    private readonly db: Database,
    private readonly watch: FeedWatch,
  ) {}

  async page(user: User, query: FeedQuery, reader: Reader): Promise<FeedPage> {
    refuseUnknownTypes(query.types)
    const place = await this.begin(user, query.after)
    if (query.wait === 0) return this.search(user, query, place, reader)
    return this.polls.during(user.id, () => this.search(user, query, place, reader))
  }

  private async search(user: User, query: FeedQuery, place: Place, { gone, accessNow }: Reader): Promise<FeedPage> {
    const end = Date.now() + query.wait * 1000
    let { position } = place
    let expired = 0
    for (;;) {
      const page = await this.read(user, position, query)
      expired += page.position - position - (await this.countKept(user, position, page, query.types))
      const left = end - Date.now()
      const over = page.caught_up && (left <= 0 || this.watch.closed)
      if (page.events.length > 0 || over || gone.aborted) {
        const next_cursor = cursorOf(user, { ...place, position: page.position })
        return { events: page.events, next_cursor, expired }
      }
      const unwanted = page.position > position
      position = page.position
      if (page.caught_up) await this.grown(user.id, position, left, gone, unwanted)
      else await breath(FULL_PAGE_MS, gone)
      await accessNow()
    }
  }

  /** The payload of one event. */
  async get(user: User, id: string): Promise<string> {
    const payload = await events.findOwned(this.db, user.id, id)
    if (payload === undefined) throw notFound('event')
    return payload
  }

  /** Opens a stream of pages, each with where to go on; an empty one is a heartbeat. It ends with the process, the caller, or after ten minutes. */
  async follow(user: User, query: { after?: string; types?: string[] }, reader: Reader) {
    refuseUnknownTypes(query.types)
    const place = await this.begin(user, query.after ?? 'latest')
    const leave = this.streams.enter(user.id)
    return this.pages(user, place, query.types, reader, leave)
  }

  private async *pages(user: User, place: Place, types: string[] | undefined, reader: Reader, leave: () => void) {
    const { gone, accessNow } = reader
    const end = Date.now() + STREAM_MS
    const cursorAt = (position: number) => cursorOf(user, { ...place, position })
    let { position } = place
    try {
      while (!gone.aborted && !this.watch.closed && Date.now() < end) {
        if (!(await accessNow().catch(() => undefined))) return
        const page = await this.read(user, position, { types, limit: STREAM_PAGE })
        const unwanted = page.position > position
        position = page.position
        const withCursors = page.events.map((event) => ({ ...event, cursor: cursorAt(event.position) }))
        yield { events: withCursors, cursor: cursorAt(position) }
        if (page.events.length > 0) await breath(page.caught_up ? 0 : FULL_PAGE_MS * this.streams.of(user.id), gone)
        else if (page.caught_up) await this.grown(user.id, position, HEARTBEAT_MS, gone, unwanted)
      }
    } finally {
      leave()
    }
  }

  /** Waits for more; after what the reader did not want not so little that more of it keeps us busy. */
  private async grown(userId: number, position: number, ms: number, gone: AbortSignal, unwanted: boolean) {
    const rest = breath(unwanted ? Math.min(NOTHING_FOUND_MS, ms) : 0, gone)
    await this.watch.grown(userId, position, ms, gone)
    if (!this.watch.closed) await rest
  }

  /** A page that is not full has seen everything there was, as far as one look reaches: the next one begins behind that. */
  private async read(user: User, after: number, { types, limit }: { types?: string[]; limit: number }) {
    const { events: found, seen, last_position } = await events.listAfter(this.db, user.id, after, { types, limit })
    const position = Math.max(seen, after)
    return { events: found, position, caught_up: position >= last_position }
  }

  /** Positions have no gaps, so what is not there any more has expired. */
  private countKept(user: User, after: number, page: { events: FeedEvent[]; position: number }, types?: string[]) {
    return types === undefined ? page.events.length : events.countBetween(this.db, user.id, after, page.position)
  }

  private async begin(user: User, after: string | undefined): Promise<Place> {
    const feed = (await events.findFeed(this.db, user.id)) ?? {
      last_position: 0,
      oldest: null,
      epoch: 0,
      epoch_from: null,
    }
    const { last_position, oldest, epoch, epoch_from } = feed
    if (after === 'latest') return { position: last_position, epoch }
    if (after === undefined) return { position: oldest === null ? last_position : oldest - 1, epoch }
    const place = placeOf(user, after)
    if (!place) throw strangeCursor()
    // Of a life of the database that has ended with a restore: what came after the backup is gone, and was read.
    if (place.epoch !== epoch && epoch_from !== null) return { position: Math.min(place.position, epoch_from), epoch }
    if (place.position > last_position) throw strangeCursor()
    return { position: place.position, epoch }
  }
}

/** Where a reader is in its feed. */
interface Place {
  position: number
  epoch: number
}

const CURSOR = /^feed:(\d{1,16}):(\d{1,16})(?::(\d{1,16}))?$/

function cursorOf(user: User, { position, epoch }: Place): string {
  const parts = epoch === 0 ? [user.id, position] : [user.id, position, epoch]
  return Buffer.from(`feed:${parts.join(':')}`).toString('base64url')
}

/** Undefined for a cursor of another list or of another user's feed. */
function placeOf(user: User, cursor: string): Place | undefined {
  const [, owner, position, epoch = '0'] = CURSOR.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (position === undefined || Number(owner) !== user.id) return undefined
  return { position: Number(position), epoch: Number(epoch) }
}

function strangeCursor(): AppError {
  const message = 'is not a cursor of your event feed; use next_cursor of the page before, or leave it out'
  return invalidRequest(`after: ${message}.`, [{ path: 'after', message }])
}

/** Over at once when the reader leaves. */
const breath = (ms: number, gone: AbortSignal): Promise<void> =>
  ms <= 0 ? Promise.resolve() : pause(ms, undefined, { signal: gone }).catch(() => {})
