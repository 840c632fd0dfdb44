import { once } from 'node:events'
import type { Request, Response } from 'express'
import { z } from 'zod'
import { signalWhenOver } from '../request-end.js'
import type { EventFeed } from '../services/event-feed.js'
import { parse, parseQuery } from './parse.js'
import { filterList } from './text-list.js'

const Types = filterList(z.string().max(100))
const Cursor = z.string().max(200).optional()
/** With the name webhooks have for the types, and the one that other lists have for the cursor. */
function named<Query extends Filter>({ event_types, types = event_types, cursor, after = cursor, ...query }: Query) {
  return { ...query, after, types }
}
interface Filter {
  types?: string[]
  event_types?: string[]
  after?: string
  cursor?: string
}
const List = z.object({
  after: Cursor,
  cursor: Cursor,
  types: Types,
  event_types: Types,
  limit: z.coerce.number().int().min(1).max(500).default(100),
  wait: z.coerce.number().min(0).max(60).default(0),
})
const Stream = z.object({ after: Cursor, types: Types, event_types: Types })
const EventId = z.object({ id: z.string().min(1).max(100) })

export function eventController(feed: EventFeed) {
  return {
    /** The events are written as they were stored: what is signed for webhooks and what is read here are the same bytes. */
    list: async (req: Request, res: Response) => {
      const { events, next_cursor, expired } = await feed.page(req.user, named(parseQuery(List, req.query)), {
        gone: signalWhenOver(req, res),
        accessNow: req.accessNow,
      })
      const list = `[${events.map((event) => event.payload).join(',')}]`
      const rest = JSON.stringify({ next_cursor, expired }).slice(1)
      res.type('json').send(`{"success":true,"events":${list},${rest}`)
    },

    get: async (req: Request, res: Response) => {
      const payload = await feed.get(req.user, parse(EventId, req.params).id)
      res.type('json').send(`{"success":true,"event":${payload}}`)
    },

    stream: async (req: Request, res: Response) => {
      const { types, after } = named(parse(Stream, req.query))
      const reader = { gone: signalWhenOver(req, res), accessNow: req.accessNow }
      const pages = await feed.follow(req.user, { types, after: req.get('last-event-id') || after }, reader)
      res.writeHead(200, STREAM_HEADERS)
      for await (const page of pages)
        if (!res.write(asLines(page))) await once(res, 'drain', { signal: reader.gone }).catch(() => {})
      res.end()
    },
  }
}

const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no', // nginx would hold events back to fill its buffer
}

/** The last line names where to go on also when nothing happened; without data it is no event to the reader. */
function asLines({ events, cursor }: { events: { cursor: string; type: string; payload: string }[]; cursor: string }) {
  const lines = events.map((event) => `id: ${event.cursor}\nevent: ${event.type}\ndata: ${event.payload}\n\n`)
  return `${lines.join('')}: heartbeat\nid: ${cursor}\nretry: 1000\n\n`
}
