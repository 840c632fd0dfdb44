import type { Request, Response } from 'express'
import { z } from 'zod'
import type { UserService } from '../services/users.js'
import { parse } from './parse.js'
import { presentUser } from './users.js'

const Email = z.string().trim().toLowerCase().max(254).pipe(z.email('must be an e-mail address'))
const Name = z.string().trim().min(1).max(200)

const RegisterBody = z.object({
  email: Email,
  password: z.string().min(8, 'must have at least 8 characters').max(200),
  full_name: Name.optional(),
  company_name: Name.optional(),
  plan_type: z
    .enum(['starter', 'business', 'enterprise'], 'must be starter, business or enterprise')
    .default('starter'),
})

const LoginBody = z.object({ email: Email, password: z.string().min(1).max(200) })

export function authController(service: UserService) {
  return {
    register: async (req: Request, res: Response) => {
      const { user, api_key } = await service.register(parse(RegisterBody, req.body))
      res
        .status(201)
        .json({ success: true, message: 'User created successfully', user: { ...presentUser(user), api_key } })
    },

    logIn: async (req: Request, res: Response) => {
      const { email, password } = parse(LoginBody, req.body)
      const { user, access_token, expires_in } = await service.logIn(email, password)
      res.json({ success: true, access_token, token_type: 'Bearer', expires_in, user: presentUser(user) })
    },
  }
}
