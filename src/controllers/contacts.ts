import type { Request, Response } from 'express'
import { z } from 'zod'
import type { ContactService } from '../services/contacts.js'
import { parse } from './parse.js'

const CheckBody = z.object({
  token: z.string().min(1).max(200).optional(),
  from: z.literal('auto').optional(),
  numbers: z
    .array(z.union([z.string().trim().min(1).max(100), z.number()]))
    .min(1)
    .max(50),
})

export function contactController(service: ContactService) {
  return {
    check: async (req: Request, res: Response) => {
      const { numbers, ...sender } = parse(CheckBody, req.body)
      res.json({ success: true, contacts: await service.check(req.user, sender, numbers) })
    },
  }
}
