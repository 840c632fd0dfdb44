import type { Database } from '../db/database.js'
import * as events from '../db/events.js'
import type { FeedEvent } from '../db/events.js'
import type { User } from '../db/users.js'
import { AppError, invalidRequest, notFound } from '../errors.js'
import type { FeedWatch } from './feed-watch.js'
import { refuseUnknownTypes } from './public-events.js'

const STREAM_PAGE = 100
/** A stream ends after this and is resumed by its reader, so that a revoked key does not read on for ever. */
const STREAM_MS = 10 * 60_000
const HEARTBEAT_MS = 15_000
const MAX_STREAMS_PER_USER = 20

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
  private readonly streams = new Map<number, number>()

  constructor(
    private readonly db: Database,
    private readonly watch: FeedWatch,
  ) {}

  async page(user: User, query: FeedQuery, { gone, accessNow }: Reader): Promise<FeedPage> {
    refuseUnknownTypes(query.types)
    const end = Date.now() + query.wait * 1000
    let position = await this.begin(user, query.after)
    let expired = 0
    for (;;) {
      const page = await this.read(user, position, query)
      expired += page.position - position - (await this.countKept(user, position, page, query.types))
      const left = end - Date.now()
      if (page.events.length > 0 || left <= 0 || this.watch.closed || gone.aborted)
        return { ...page, next_cursor: cursorOf(user, page.position), expired }
      position = page.position
      await this.watch.grown(user.id, position, left, gone)
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
    const position = await this.begin(user, query.after ?? 'latest')
    const open = this.streams.get(user.id) ?? 0
    if (open >= MAX_STREAMS_PER_USER) throw tooManyStreams()
    this.streams.set(user.id, open + 1)
    return this.pages(user, position, query.types, reader)
  }

  private async *pages(user: User, position: number, types: string[] | undefined, { gone, accessNow }: Reader) {
    const end = Date.now() + STREAM_MS
    try {
      while (!gone.aborted && !this.watch.closed && Date.now() < end) {
        if (!(await accessNow().catch(() => undefined))) return
        const page = await this.read(user, position, { types, limit: STREAM_PAGE })
        position = page.position
        const withCursors = page.events.map((event) => ({ ...event, cursor: cursorOf(user, event.position) }))
        yield { events: withCursors, cursor: cursorOf(user, position) }
        if (page.events.length === 0) await this.watch.grown(user.id, position, HEARTBEAT_MS, gone)
      }
    } finally {
      const left = this.streams.get(user.id)! - 1
      if (left > 0) this.streams.set(user.id, left)
      else this.streams.delete(user.id)
    }
  }

  /** A page that is not full has seen everything there was: the next one begins behind that. */
  private async read(user: User, after: number, { types, limit }: { types?: string[]; limit: number }) {
    const page = await events.listAfter(this.db, user.id, after, { types, limit })
    const last = page.full ? page.events.at(-1)!.position : page.last_position
    return { events: page.events, position: Math.max(last, after) }
  }

  /** Positions have no gaps, so what is not there any more has expired. */
  private countKept(user: User, after: number, page: { events: FeedEvent[]; position: number }, types?: string[]) {
    return types === undefined ? page.events.length : events.countBetween(this.db, user.id, after, page.position)
  }

  private async begin(user: User, after: string | undefined): Promise<number> {
    const feed = (await events.findFeed(this.db, user.id)) ?? { last_position: 0, oldest: null }
    if (after === 'latest') return feed.last_position
    if (after === undefined) return feed.oldest === null ? feed.last_position : feed.oldest - 1
    const position = positionOf(user, after)
    if (position === undefined || position > feed.last_position) throw strangeCursor()
    return position
  }
}

const CURSOR = /^feed:(\d{1,16}):(\d{1,16})$/

const cursorOf = (user: User, position: number) => Buffer.from(`feed:${user.id}:${position}`).toString('base64url')

/** Undefined for a cursor of another list or of another user's feed. */
function positionOf(user: User, cursor: string): number | undefined {
  const [, owner, position] = CURSOR.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  return position !== undefined && Number(owner) === user.id ? Number(position) : undefined
}

function strangeCursor(): AppError {
  const message = 'is not a cursor of your event feed; use next_cursor of the page before, or leave it out'
  return invalidRequest(`after: ${message}.`, [{ path: 'after', message }])
}

const tooManyStreams = () =>
  new AppError('rate_limited', `There are ${MAX_STREAMS_PER_USER} streams open already, the most a user may have.`, {
    retry_after_seconds: 60,
  })
