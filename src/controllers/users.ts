import { pipeline } from 'node:stream/promises'
import type { Request, Response } from 'express'
import { z } from 'zod'
import type { User } from '../db/users.js'
import { addressOf } from '../middleware/rate-limit.js'
import { signalWhenOver } from '../request-end.js'
import type { ProfileService } from '../services/profiles.js'
import type { UserDeletion } from '../services/user-deletion.js'
import type { UserExport } from '../services/user-export.js'
import { parse } from './parse.js'
import { Name, NewPassword, Password } from './user-schemas.js'

const ProfileBody = z
  .object({ full_name: Name.nullable(), company_name: Name.nullable(), time_zone: z.string().trim().min(1).max(100) })
  .partial()
const PasswordBody = z.object({ old_password: Password, new_password: NewPassword })
const DeletionBody = z.object({ password: Password })

interface Services {
  profiles: ProfileService
  exporting: UserExport
  deletion: UserDeletion
}

export function userController({ profiles, exporting, deletion }: Services) {
  return {
    profile: async (req: Request, res: Response) => {
      res.json({ success: true, user: presentUser(await profiles.get(req.user)) })
    },

    update: async (req: Request, res: Response) => {
      const user = await profiles.update(req.user, parse(ProfileBody, req.body))
      res.json({ success: true, user: presentUser(user) })
    },

    changePassword: async (req: Request, res: Response) => {
      const { old_password, new_password } = parse(PasswordBody, req.body)
      const token = await profiles.changePassword(req.user, old_password, new_password, addressOf(req))
      res.json({ success: true, message: 'Your password is changed. Earlier access tokens ended.', ...token })
    },

    export: async (req: Request, res: Response) => {
      const data = exporting.open(req.user)
      res.type('json').attachment('whatsapp-saas-api-export.json')
      await pipeline(data, res, { signal: signalWhenOver(req, res) })
    },

    delete: async (req: Request, res: Response) => {
      await deletion.request(req.user, parse(DeletionBody, req.body).password, addressOf(req))
      res.json({ success: true, message: 'Your user is deleted. Phone numbers and data are being erased.' })
    },
  }
}

/** `api_key` is the hint only; whoever issues a key overwrites it with the key itself. */
export function presentUser(user: User) {
  return {
    id: user.id,
    email: user.email,
    api_key: user.api_key,
    full_name: user.full_name,
    company_name: user.company_name,
    plan_type: user.plan_type,
    max_phone_numbers: user.max_phone_numbers,
    max_messages_per_day: user.max_messages_per_day,
    status: user.status,
    active_until: user.active_until,
    time_zone: user.time_zone,
    ...pendingZone(user),
    created_at: user.created_at,
  }
}

function pendingZone({ next_time_zone, next_time_zone_at }: User) {
  return next_time_zone === null ? {} : { next_time_zone, next_time_zone_at }
}
