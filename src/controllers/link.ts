import type { Request, Response } from 'express'
import { z } from 'zod'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { AppError } from '../errors.js'
import { hasFreshQr } from '../services/link-needs.js'
import type { LinkPages } from '../services/link-pages.js'
import { type Language, linkOverPage, linkPage, resetPage } from './pages.js'
import { Id, parse } from './parse.js'

const CreateBody = z.object({ expires_in_hours: z.coerce.number().int().min(1).max(720).default(24) })
const Token = z.object({ token: z.string().max(100) })
const PairingBody = z.object({ phone_number: z.string().trim().min(1).max(40) })

export function linkController(service: LinkPages, { brand }: { brand: string }) {
  return {
    create: async (req: Request, res: Response) => {
      const { expires_in_hours } = parse(CreateBody, req.body)
      const link = await service.create(req.user, parse(Id, req.params).id, expires_in_hours)
      res.status(201).json({ success: true, link })
    },

    revoke: async (req: Request, res: Response) => {
      await service.revoke(req.user, parse(Id, req.params).id)
      res.json({ success: true, message: 'The link page no longer works' })
    },

    page: async (req: Request, res: Response) => {
      const language = languageOf(req)
      const phone = await service.find(parse(Token, req.params).token).catch(missing)
      if (phone) res.type('html').send(linkPage(language, brand, phone.display_name))
      else res.status(404).type('html').send(linkOverPage(language, brand))
    },

    status: async (req: Request, res: Response) => {
      res.json({ success: true, link: present(await service.status(parse(Token, req.params).token)) })
    },

    pair: async (req: Request, res: Response) => {
      const { token } = parse(Token, req.params)
      res.json({ success: true, link: present(await service.pair(token, parse(PairingBody, req.body).phone_number)) })
    },

    resetPage: (req: Request, res: Response) => {
      res.type('html').send(resetPage(languageOf(req), brand))
    },
  }
}

/** Seconds instead of a moment: the clock of somebody else's phone is not to be trusted. */
function present(phone: PhoneNumber) {
  const fresh = hasFreshQr(phone)
  return {
    status: phone.status === 'connected' ? 'connected' : fresh ? 'qr_ready' : 'waiting',
    qr_code: fresh ? phone.qr_code : null,
    pairing_code: fresh ? phone.pairing_code : null,
    expires_in: fresh ? Math.max(0, Math.round((phone.qr_expires_at!.getTime() - Date.now()) / 1000)) : null,
  }
}

function languageOf(req: Request): Language {
  const { lang } = req.query
  if (lang === 'id' || lang === 'en') return lang
  return req.acceptsLanguages('id', 'en') === 'en' ? 'en' : 'id'
}

function missing(err: unknown): undefined {
  if (!(err instanceof AppError) || err.code !== 'not_found') throw err
}
