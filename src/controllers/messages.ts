import type { Request, Response } from 'express'
import { z } from 'zod'
import { failureOf, viewOf } from '../services/message-view.js'
import type { MessageService, Sent } from '../services/messages.js'
import { parse } from './parse.js'

/** WhatsApp's own limit for a text. */
const MAX_TEXT = 65_536

const Sender = {
  token: z.string().min(1).max(200).optional(),
  from: z.literal('auto').optional(),
  number: z.union([z.string().trim().min(1).max(100), z.number()], 'must be the recipient, like 628123456789'),
  ttl_seconds: z.coerce.number().int().min(10).max(604_800).optional(),
}

const TextBody = z.object({
  ...Sender,
  text: z
    .string('must be a text')
    .max(MAX_TEXT)
    .refine((text) => text.trim() !== '', 'must not be empty'),
})

const MediaBody = z.object({
  ...Sender,
  mediaUrl: z.string().trim().max(2048).optional(),
  base64: z.string().min(1).optional(),
  mediaType: z.enum(['image', 'video', 'audio', 'document'], 'must be image, video, audio or document'),
  caption: z.string().max(4_096).optional(),
  fileName: z.string().max(255).optional(),
})

/** Seconds a caller waits for the outcome before it gets 202. */
const Wait = z.object({ wait: z.coerce.number().min(0).max(60).default(15) })

export function messageController(service: MessageService) {
  return {
    sendText: async (req: Request, res: Response) => {
      const input = parse(TextBody, req.body)
      answer(res, await service.sendText(req.user, { ...input, ...parse(Wait, req.query) }))
    },

    sendMedia: async (req: Request, res: Response) => {
      const { mediaUrl, base64, mediaType, fileName, ...input } = parse(MediaBody, req.body)
      const media = { url: mediaUrl, base64, upload: req.upload }
      const request = { ...input, ...parse(Wait, req.query), media, media_type: mediaType, file_name: fileName }
      answer(res, await service.sendMedia(req.user, request))
    },
  }
}

/** 200 when it went out, 202 while nobody knows, the error when it failed. */
function answer(res: Response, { message, quota }: Sent) {
  res.set({
    'X-Quota-Limit': String(quota.limit),
    'X-Quota-Remaining': String(quota.remaining),
    'X-Quota-Reset': quota.resets_at.toISOString(),
  })
  if (message.status === 'failed') throw failureOf(message)
  const sent = ['sent', 'delivered', 'read'].includes(message.status)
  const { created_at, sent_at } = message
  res.status(sent ? 200 : 202).json({ success: true, message: { ...viewOf(message), created_at, sent_at } })
}
