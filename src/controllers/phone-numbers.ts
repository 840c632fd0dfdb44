import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Context } from '../context.js'
import { checkScopes } from '../middleware/authenticate.js'
import { Flag } from './fields.js'
import { Id, IdempotencyKey, Page, nextCursor, numeric, parse, parseField, parseQuery, withoutNulls } from './parse.js'
import { presentNumber, presentQr, reasonOf, sendPicture, wantsPicture } from './present-number.js'

/** Multipart and urlencoded bodies know only text. */
const Metadata = z.preprocess(
  (value) => (typeof value === 'string' ? parseField(value) : value),
  z.record(z.string().max(100), z.unknown()).refine((value) => JSON.stringify(value).length <= 4_000, {
    error: 'may be 4,000 characters of JSON at most',
  }),
)
const DisplayName = z.string().trim().min(1, 'must not be empty').max(100)
const Url = z.string().trim().max(2048)

const CreateBody = withoutNulls(
  z.object({
    display_name: DisplayName,
    webhook_url: Url.optional(),
    metadata: Metadata.default({}),
    receive_groups: Flag.default(false),
  }),
)

const UpdateBody = z
  .object({
    display_name: DisplayName,
    webhook_url: Url.nullable().transform((url) => (url === '' ? null : url)),
    metadata: Metadata,
    receive_groups: Flag,
    send_gap_seconds: numeric(z.number('must be a number of seconds').min(0).max(3600)).nullable(),
  })
  .partial()
  .refine((body) => Object.keys(body).length > 0, { error: 'must name at least one field to change' })

const PairingBody = z.object({
  phone_number: z.union([z.string(), z.number()], 'is needed: the number of the phone to link').transform(String),
})
const List = Page.extend({
  status: z.enum(['created', 'connecting', 'qr_ready', 'connected', 'disconnected']).optional(),
})
const Wait = z.object({ wait: z.coerce.number().min(0).max(60).default(5) })
const PairingWait = z.object({ wait: z.coerce.number().min(0).max(60).default(15) })

/** A webhook gets the messages, whichever call makes it. */
function checkWebhook({ access }: Request, { webhook_url }: { webhook_url?: string | null }) {
  if (webhook_url !== undefined) checkScopes(access, ['webhooks'])
}

type Services = Pick<
  Context,
  'phoneNumbers' | 'numberCreation' | 'numberConnections' | 'numberSettings' | 'numberReports' | 'queue'
>

export function phoneNumberController(services: Services) {
  const { phoneNumbers, numberCreation, numberConnections, numberSettings, numberReports, queue } = services
  return {
    create: async (req: Request, res: Response) => {
      const input = parse(CreateBody, req.body)
      checkWebhook(req, input)
      const { idempotency_key } = parse(IdempotencyKey, req.headers)
      const { phone, webhook_secret } = await numberCreation.create(req.user, input, idempotency_key)
      const secret = webhook_secret === undefined ? {} : { webhook_secret }
      res.status(201).json({ success: true, phone_number: { ...presentNumber(phone), ...presentQr(phone), ...secret } })
    },

    list: async (req: Request, res: Response) => {
      const { limit, cursor, status } = parseQuery(List, req.query)
      const phones = await phoneNumbers.list(req.user, { before: cursor, limit, status })
      res.json({ success: true, phone_numbers: phones.map(presentNumber), next_cursor: nextCursor(phones, limit) })
    },

    status: async (req: Request, res: Response) => {
      const { phone, extra } = await numberReports.status(req.user, parse(Id, req.params).id)
      res.json({ success: true, phone_number: { ...presentNumber(phone), ...extra } })
    },

    history: async (req: Request, res: Response) => {
      const { limit, cursor } = parseQuery(Page, req.query)
      const rows = await numberReports.history(req.user, parse(Id, req.params).id, { before: cursor, limit })
      const history = rows.map(({ status, reason, changed_at }) => ({ status, reason, changed_at }))
      res.json({ success: true, history, next_cursor: nextCursor(rows, limit) })
    },

    update: async (req: Request, res: Response) => {
      const { id } = parse(Id, req.params)
      const changes = parse(UpdateBody, req.body)
      checkWebhook(req, changes)
      const { phone, webhook_secret } = await numberSettings.update(req.user, id, changes)
      const secret = webhook_secret === undefined ? {} : { webhook_secret }
      res.json({ success: true, phone_number: { ...presentNumber(phone), ...secret } })
    },

    pairingCode: async (req: Request, res: Response) => {
      const { phone_number } = parse(PairingBody, req.body)
      const { wait } = parse(PairingWait, req.query)
      const phone = await numberConnections.pairingCode(req.user, parse(Id, req.params).id, phone_number, wait)
      const { id, status, pairing_number, qr_expires_at } = phone
      const code = { pairing_code: phone.pairing_code, pairing_number, expires_at: qr_expires_at }
      res.json({ success: true, phone_number: { id, status, ...code } })
    },

    reconnect: async (req: Request, res: Response) => {
      const phone = await numberConnections.reconnect(req.user, parse(Id, req.params).id)
      res.json({ success: true, phone_number: { ...presentNumber(phone), ...presentQr(phone) } })
    },

    restart: async (req: Request, res: Response) => {
      const phone = await numberConnections.restart(req.user, parse(Id, req.params).id)
      res.json({ success: true, phone_number: presentNumber(phone) })
    },

    logout: async (req: Request, res: Response) => {
      const phone = await numberConnections.logout(req.user, parse(Id, req.params).id)
      res.json({ success: true, phone_number: presentNumber(phone) })
    },

    delete: async (req: Request, res: Response) => {
      await phoneNumbers.delete(req.user, parse(Id, req.params).id)
      res.json({ success: true, message: 'Phone number deleted' })
    },

    qr: async (req: Request, res: Response) => {
      const phone = await numberConnections.qr(req.user, parse(Id, req.params).id, parse(Wait, req.query).wait)
      if (wantsPicture(req)) return void sendPicture(res, phone)
      const { id, status, status_reason } = phone
      // Whoever links it should know what goes out then.
      const { queued } = await queue.show(req.user, id)
      const code = { ...presentQr(phone), ...reasonOf(phone) }
      res.json({ success: true, phone_number: { id, status, status_reason, ...code, queued } })
    },
  }
}
