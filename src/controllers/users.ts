import type { Request, Response } from 'express'
import type { User } from '../db/users.js'
import type { UserService } from '../services/users.js'

export function userController(service: UserService) {
  return {
    profile: async (req: Request, res: Response) => {
      res.json({ success: true, user: presentUser(await service.profile(req.user)) })
    },

    rotateApiKey: async (req: Request, res: Response) => {
      const api_key = await service.rotateApiKey(req.user)
      res.json({ success: true, message: 'This is your new API key. The old ones no longer work.', api_key })
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
    time_zone: user.time_zone,
    created_at: user.created_at,
  }
}
