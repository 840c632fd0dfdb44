import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Webhook } from '../db/webhooks.js'
import { EVENT_TYPES } from '../services/public-events.js'
import type { WebhookTester } from '../services/webhook-tester.js'
import type { WebhookService } from '../services/webhooks.js'
import { Flag, RowId } from './fields.js'
import { Id, IdempotencyKey, Page, nextCursor, parse, parseQuery } from './parse.js'
import { textList } from './text-list.js'

const Fields = {
  description: z.string().trim().max(200).nullable().optional(),
  event_types: textList(z.string().max(100))
    .pipe(z.array(z.string()).min(1, 'must name an event type').max(50))
    .optional(),
  headers: z
    .record(z.string().max(100), z.string().max(4_096).nullable(), 'must be an object of header names and texts')
    .optional(),
  enabled: Flag.optional(),
}
const Url = z.string('must be a URL').trim().min(1, 'must not be empty')
const Secret = z.string().max(200).optional()

const CreateBody = z.object({ url: Url, phone_number_id: RowId.nullable().optional(), secret: Secret, ...Fields })
const UpdateBody = z.object({ url: Url.optional(), ...Fields })
const RotateBody = z.object({ secret: Secret })
const TestBody = z.object({ event_type: z.enum(EVENT_TYPES, 'must be an event type').default('message.received') })
const List = Page.extend({ phone_number_id: RowId.optional() })

export function webhookController(service: WebhookService, tester: WebhookTester) {
  return {
    create: async (req: Request, res: Response) => {
      const { idempotency_key } = parse(IdempotencyKey, req.headers)
      const { webhook, secret } = await service.create(req.user, parse(CreateBody, req.body), idempotency_key)
      res.status(201).json({ success: true, webhook: { ...present(webhook), secret } })
    },

    list: async (req: Request, res: Response) => {
      const { limit, cursor, phone_number_id } = parseQuery(List, req.query)
      const rows = await service.list(req.user, { before: cursor, limit, phone_number_id })
      res.json({ success: true, webhooks: rows.map(present), next_cursor: nextCursor(rows, limit) })
    },

    get: async (req: Request, res: Response) => {
      const { webhook, pending } = await service.get(req.user, parse(Id, req.params).id)
      res.json({ success: true, webhook: { ...present(webhook), pending_deliveries: pending } })
    },

    update: async (req: Request, res: Response) => {
      const webhook = await service.update(req.user, parse(Id, req.params).id, parse(UpdateBody, req.body))
      res.json({ success: true, webhook: present(webhook) })
    },

    delete: async (req: Request, res: Response) => {
      await service.delete(req.user, parse(Id, req.params).id)
      res.json({ success: true, message: 'Webhook deleted' })
    },

    rotateSecret: async (req: Request, res: Response) => {
      const { id } = parse(Id, req.params)
      const { webhook, secret } = await service.rotateSecret(req.user, id, parse(RotateBody, req.body).secret)
      res.json({ success: true, webhook: { ...present(webhook), secret } })
    },

    test: async (req: Request, res: Response) => {
      const { event_type } = parse(TestBody, req.body)
      res.json({ success: true, test: await tester.test(req.user, parse(Id, req.params).id, event_type) })
    },
  }
}

/** Secrets and the values of headers are never shown again. */
function present(webhook: Webhook) {
  return {
    id: webhook.id,
    phone_number_id: webhook.phone_number_id,
    url: webhook.url,
    description: webhook.description,
    event_types: webhook.event_types,
    header_names: Object.keys(webhook.headers).sort(),
    enabled: webhook.enabled,
    disabled_reason: webhook.disabled_reason,
    disabled_at: webhook.disabled_at,
    health: healthOf(webhook),
    failing_since: webhook.failing_since,
    retry_at: webhook.open_until,
    previous_secret_until: webhook.previous_secret_until,
    created_at: webhook.created_at,
    updated_at: webhook.updated_at,
  }
}

function healthOf({ enabled, open_until, failing_since }: Webhook) {
  if (!enabled) return 'disabled'
  if (open_until) return 'paused'
  return failing_since ? 'failing' : 'healthy'
}
