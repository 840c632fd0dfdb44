import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Delivery, DeliveryCursor } from '../db/delivery-lists.js'
import type { RedeliveryService } from '../services/redelivery.js'
import { Moment } from './fields.js'
import { Id, parse, parseQuery } from './parse.js'
import { filterList, textList } from './text-list.js'

const Status = z.enum(['pending', 'delivered', 'failed'], 'must be pending, delivered or failed')
/** A day is its beginning in UTC. */
const From = z.union(
  [Moment, z.iso.date().transform((day) => new Date(day))],
  'must be a time with its zone, like 2026-01-31T08:00:00Z',
)

const List = z.object({
  status: Status.optional(),
  event_type: filterList(z.string().max(100)),
  event_types: filterList(z.string().max(100)),
  from: From.optional(),
  to: From.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(100),
  cursor: z.string().transform(readCursor).optional(),
})

const RangeBody = z.object({
  status: z
    .enum(['failed', 'delivered', 'pending', 'missing'], 'must be failed, delivered, pending or missing')
    .default('failed'),
  from: From.optional(),
  to: From.optional(),
  // Unlike the filter of a list, an empty one is not taken for all: so much would be posted again.
  event_types: textList(z.string().max(100))
    .pipe(z.array(z.string()).min(1, 'must name an event type, or be left out'))
    .optional(),
  cursor: z.string().transform(readCursor).nullish(),
})

export function deliveryController(service: RedeliveryService) {
  return {
    list: async (req: Request, res: Response) => {
      const { limit, cursor, event_type, event_types = event_type, ...filter } = parseQuery(List, req.query)
      const page = { before: cursor, limit }
      const rows = await service.list(req.user, parse(Id, req.params).id, { ...filter, event_types }, page)
      res.json({ success: true, deliveries: rows.map(present), next_cursor: nextCursor(rows, limit) })
    },

    get: async (req: Request, res: Response) => {
      const { delivery, attempts } = await service.get(req.user, parse(Id, req.params).id)
      const { url, body } = delivery
      res.json({ success: true, delivery: { ...present(delivery), url, body, attempts } })
    },

    redeliver: async (req: Request, res: Response) => {
      const delivery = await service.redeliver(req.user, parse(Id, req.params).id)
      res.status(202).json({ success: true, delivery: present(delivery) })
    },

    redeliverRange: async (req: Request, res: Response) => {
      const { id } = parse(Id, req.params)
      const { last, ...result } = await service.redeliverRange(req.user, id, parse(RangeBody, req.body))
      res.status(202).json({ success: true, ...result, next_cursor: last ? cursorAt(last) : null })
    },
  }
}

function present(delivery: Delivery) {
  return {
    id: delivery.id,
    webhook_id: delivery.webhook_id,
    phone_number_id: delivery.phone_number_id,
    event_id: delivery.event_id,
    event_type: delivery.event_type,
    status: delivery.status,
    held: delivery.held,
    attempt_count: delivery.attempts,
    next_attempt_at: delivery.status === 'pending' && !delivery.held ? delivery.due_at : null,
    created_at: delivery.created_at,
    settled_at: delivery.settled_at,
  }
}

function nextCursor(rows: Delivery[], limit: number): string | null {
  const last = rows.at(-1)
  return !last || rows.length < limit ? null : cursorAt(last)
}

function cursorAt({ created_us, id }: DeliveryCursor): string {
  return Buffer.from(`delivery:${created_us}:${id}`).toString('base64url')
}

function readCursor(cursor: string, ctx: z.RefinementCtx) {
  const [, us, id] = /^delivery:(\d{1,16}):(\d{1,16})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (us !== undefined && id !== undefined) return { created_us: Number(us), id: Number(id) }
  ctx.addIssue('is not a cursor of this list; use next_cursor of the page before')
  return z.NEVER
}
