import type { Request, Response } from 'express'
import { z } from 'zod'
import type { PhoneNumber } from '../db/phone-numbers.js'
import type { PhoneNumberService } from '../services/phone-numbers.js'
import { isRestricted } from '../services/acknowledgements.js'
import { Id, Page, nextCursor, parse } from './parse.js'

/** Multipart and urlencoded bodies know only text. */
const Metadata = z.preprocess(
  (value) => (typeof value === 'string' ? parseJson(value) : value),
  z.record(z.string().max(100), z.unknown()).refine((value) => JSON.stringify(value).length <= 4_000, {
    error: 'may be 4,000 characters of JSON at most',
  }),
)

const CreateBody = z.object({
  display_name: z.string().trim().min(1, 'must not be empty').max(100),
  webhook_url: z.string().trim().max(2048).optional(),
  metadata: Metadata.default({}),
  receive_groups: z.union([z.boolean(), z.stringbool()]).default(false),
})

const Wait = z.object({ wait: z.coerce.number().min(0).max(60).default(5) })

export function phoneNumberController(service: PhoneNumberService) {
  return {
    create: async (req: Request, res: Response) => {
      const { phone, webhook_secret } = await service.create(req.user, parse(CreateBody, req.body))
      const secret = webhook_secret === undefined ? {} : { webhook_secret }
      res.status(201).json({ success: true, phone_number: { ...present(phone), ...presentQr(phone), ...secret } })
    },

    list: async (req: Request, res: Response) => {
      const { limit, cursor } = parse(Page, req.query)
      const phones = await service.list(req.user, { before: cursor, limit })
      res.json({ success: true, phone_numbers: phones.map(present), next_cursor: nextCursor(phones, limit) })
    },

    status: async (req: Request, res: Response) => {
      const phone = await service.get(req.user, parse(Id, req.params).id)
      res.json({ success: true, phone_number: present(phone) })
    },

    qr: async (req: Request, res: Response) => {
      const phone = await service.qr(req.user, parse(Id, req.params).id, parse(Wait, req.query).wait)
      const { id, status, status_reason } = phone
      res.json({ success: true, phone_number: { id, status, status_reason, ...presentQr(phone) } })
    },

    delete: async (req: Request, res: Response) => {
      await service.delete(req.user, parse(Id, req.params).id)
      res.json({ success: true, message: 'Phone number deleted' })
    },
  }
}

function present(phone: PhoneNumber) {
  return {
    id: phone.id,
    instance_name: phone.instance_name,
    token: phone.token,
    display_name: phone.display_name,
    phone_number: phone.phone_number,
    status: phone.status,
    status_reason: phone.status_reason,
    status_changed_at: phone.status_changed_at,
    restriction: isRestricted(phone) ? phone.restriction : null,
    ack_ratio_1h: phone.ack_ratio_1h,
    webhook_url: phone.webhook_url,
    metadata: phone.metadata,
    receive_groups: phone.receive_groups,
    first_connected_at: phone.first_connected_at,
    last_event_at: phone.last_event_at,
    created_at: phone.created_at,
  }
}

/** A code that has expired is not shown: whoever scans it is only told that it is invalid. */
function presentQr(phone: PhoneNumber) {
  const fresh = phone.qr_expires_at !== null && phone.qr_expires_at.getTime() > Date.now()
  return { qr_code: fresh ? phone.qr_code : null, qr_expires_at: fresh ? phone.qr_expires_at : null }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
