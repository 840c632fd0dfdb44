import type { Request, Response } from 'express'
import { z } from 'zod'
import { addressOf } from '../middleware/rate-limit.js'
import type { ProfileService } from '../services/profiles.js'
import type { UserService } from '../services/users.js'
import { parse, withoutNulls } from './parse.js'
import { Email, Name, NewPassword, Password } from './user-schemas.js'
import { presentUser } from './users.js'

const RegisterBody = withoutNulls(
  z.object({
    email: Email,
    password: NewPassword,
    full_name: Name.optional(),
    company_name: Name.optional(),
    plan_type: z
      .enum(['starter', 'business', 'enterprise'], 'must be starter, business or enterprise')
      .default('starter'),
  }),
)

const LoginBody = z.object({ email: Email, password: Password })

/** `token` is the long text of the operator's one-time link. */
const ResetBody = z.object({ token: z.string().trim().min(1).max(200), password: NewPassword })

export function authController(service: UserService, profiles: ProfileService) {
  return {
    register: async (req: Request, res: Response) => {
      const { user, api_key } = await service.register(parse(RegisterBody, req.body))
      res
        .status(201)
        .json({ success: true, message: 'User created successfully', user: { ...presentUser(user), api_key } })
    },

    logIn: async (req: Request, res: Response) => {
      const { email, password } = parse(LoginBody, req.body)
      const { user, access_token, expires_in } = await service.logIn(email, password, addressOf(req))
      res.json({ success: true, access_token, token_type: 'Bearer', expires_in, user: presentUser(user) })
    },

    resetPassword: async (req: Request, res: Response) => {
      const { token, password } = parse(ResetBody, req.body)
      await profiles.resetPassword(token, password, addressOf(req))
      res.json({ success: true, message: 'Your password is changed. Log in with the new one.' })
    },
  }
}
