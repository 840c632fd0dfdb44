import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Message } from '../db/messages.js'
import type { MessageMediaService } from '../services/message-media.js'
import { failureOf, viewOf } from '../services/message-view.js'
import type { MessageService, Sent } from '../services/messages.js'
import type { Reactions } from '../services/reactions.js'
import { Moment, RowId } from './fields.js'
import { type Kind, requestOf, sendSchema } from './message-schemas.js'
import { Id, IdempotencyKey, Page, nextCursor, numeric, parse, parseQuery } from './parse.js'

/** Seconds a caller waits for the outcome before it gets 202. */
const Wait = z.object({ wait: z.coerce.number().min(0).max(60).default(15) })

const STATUSES = [
  'queued',
  'sending',
  'sent',
  'delivered',
  'read',
  'failed',
  'unconfirmed',
  'expired',
  'canceled',
  'received',
] as const
const ListQuery = Page.extend({
  phone_number_id: RowId.optional(),
  status: z.enum(STATUSES).optional(),
  direction: z.enum(['outgoing', 'incoming']).optional(),
  recipient: z.string().trim().max(100).optional(),
  from: Moment.optional(),
  to: Moment.optional(),
})

const ReactionBody = z.object({
  message_id: numeric(z.number().int().positive()),
  reaction: z.string('must be one emoji, or "" to take it back').max(20),
})

const RescheduleBody = z.object({ send_at: Moment })

interface Services {
  messages: MessageService
  reactions: Reactions
  files: MessageMediaService
}

export function messageController({ messages, reactions, files }: Services) {
  const optionsOf = (req: Request) => ({
    wait: parse(Wait, req.query).wait,
    idempotency_key: parse(IdempotencyKey, { 'idempotency-key': req.get('idempotency-key') }).idempotency_key,
  })

  return {
    send: (kind: Kind) => async (req: Request, res: Response) => {
      const { wait, idempotency_key } = optionsOf(req)
      // Nothing here may hold the request while its outcome is waited for: its file can be large.
      const accepted = await messages.take(req.user, requestIn(req, kind), idempotency_key)
      req.bodyTaken?.()
      answer(res, await messages.answer(req.user, accepted, wait))
    },

    react: async (req: Request, res: Response) => {
      const { message_id, reaction } = parse(ReactionBody, req.body)
      answer(res, await reactions.send(req.user, message_id, reaction, optionsOf(req)))
    },

    list: async (req: Request, res: Response) => {
      const { cursor, ...filter } = parseQuery(ListQuery, req.query)
      const found = await messages.list(req.user, { ...filter, before: cursor })
      res.json({ success: true, messages: found.map(present), next_cursor: nextCursor(found, filter.limit) })
    },

    show: async (req: Request, res: Response) => {
      res.json({ success: true, message: present(await messages.get(req.user, parse(Id, req.params).id)) })
    },

    media: async (req: Request, res: Response) => {
      const { bytes, mime_type, file_name } = await files.fetch(req.user, parse(Id, req.params).id)
      // Somebody else's file: never rendered as a page of ours.
      res
        .set({ 'content-type': mime_type, 'content-security-policy': 'sandbox' })
        .attachment(file_name)
        .type(mime_type)
        .send(bytes)
    },

    cancel: async (req: Request, res: Response) => {
      res.json({ success: true, message: present(await messages.cancel(req.user, parse(Id, req.params).id)) })
    },

    retry: async (req: Request, res: Response) => {
      answer(res, await messages.retry(req.user, parse(Id, req.params).id, optionsOf(req)))
    },

    reschedule: async (req: Request, res: Response) => {
      const { send_at } = parse(RescheduleBody, req.body)
      const message = await messages.reschedule(req.user, parse(Id, req.params).id, new Date(send_at))
      res.json({ success: true, message: present(message) })
    },
  }
}

const requestIn = (req: Request, kind: Kind) =>
  requestOf(kind, parse(sendSchema(kind), req.body) as Record<string, unknown>, req.upload)

/** 200 when it went out, 202 while nobody knows, the error when it failed. */
function answer(res: Response, { message, quota }: Sent) {
  res.set({
    'X-Quota-Limit': String(quota.limit),
    'X-Quota-Remaining': String(quota.remaining),
    'X-Quota-Reset': quota.resets_at.toISOString(),
  })
  if (message.status === 'failed') throw failureOf(message)
  const sent = ['sent', 'delivered', 'read'].includes(message.status)
  res.status(sent ? 200 : 202).json({ success: true, message: present(message) })
}

function present(message: Message) {
  const { source, content, retry_of, created_at, scheduled_for, sent_at, delivered_at, read_at, history } = message
  const times = { created_at, send_at: scheduled_for, sent_at, delivered_at, read_at }
  // Spreads that add so many properties to an object took a fiftieth of a whole send.
  const steps = history.map(({ at, ...step }) => ({ ...step, at: new Date(at) }))
  return Object.assign(viewOf(message), { source, content, retry_of }, times, { history: steps })
}
