import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Account } from '../db/user-accounts.js'
import type { AdminUsers } from '../services/admin-users.js'
import type { PlanService } from '../services/plans.js'
import { Flag, Moment } from './fields.js'
import { Id, Page, nextCursor, numeric, parse, parseQuery } from './parse.js'
import { presentUser } from './users.js'

const Limit = numeric(z.number('must be a whole number').int().min(0).max(100_000_000))
const PlanType = z
  .string()
  .trim()
  .regex(/^[a-z][a-z0-9_-]{0,39}$/, 'must be lower-case letters, digits, - and _, such as business')
const Name = z.string().trim().min(1).max(200).nullable()

const Fields = {
  full_name: Name.optional(),
  company_name: Name.optional(),
  max_phone_numbers: Limit.optional(),
  max_messages_per_day: Limit.optional(),
  active_until: Moment.nullable().optional(),
}
const CreateBody = z.strictObject({
  ...Fields,
  email: z.string().trim().toLowerCase().max(254).pipe(z.email('must be an e-mail address')),
  password: z.string().min(8, 'must have at least 8 characters').max(200).optional(),
  plan_type: PlanType.default('starter'),
  time_zone: z.string().max(60).optional(),
})
const UpdateBody = z
  .strictObject({ ...Fields, plan_type: PlanType.optional() })
  .refine((body) => Object.keys(body).length > 0, { error: 'must name at least one field to change' })
const SuspendBody = z.strictObject({
  reason: z.string().trim().max(500).nullable().default(null),
  unlink_numbers: Flag.default(false),
})
const Purge = z.object({ purge: z.stringbool('must be true: everything of this user is erased').pipe(z.literal(true)) })
const List = Page.extend({
  search: z.string().trim().max(200).optional(),
  status: z.enum(['active', 'suspended', 'expired']).optional(),
  plan_type: z.string().max(40).optional(),
})
const PlanFields = {
  max_phone_numbers: Limit,
  max_messages_per_day: Limit,
  description: z.string().trim().max(500).nullable(),
}
const PlanBody = z.strictObject({
  plan_type: PlanType,
  ...PlanFields,
  description: PlanFields.description.default(null),
})
const PlanChange = z.strictObject({ ...PlanFields, apply_to_users: Flag }).partial()
const PlanParams = z.object({ plan_type: PlanType })

export function adminUserController(service: AdminUsers, plans: PlanService) {
  return {
    list: async (req: Request, res: Response) => {
      const { cursor, ...filter } = parseQuery(List, req.query)
      const rows = await service.list({ ...filter, before: cursor })
      res.json({ success: true, users: rows.map(present), next_cursor: nextCursor(rows, filter.limit) })
    },

    get: async (req: Request, res: Response) => {
      res.json({ success: true, user: present(await service.get(parse(Id, req.params).id)) })
    },

    create: async (req: Request, res: Response) => {
      const { account, api_key, reset } = await service.create(parse(CreateBody, req.body))
      const password_reset = reset ? { password_reset: reset } : {}
      res.status(201).json({ success: true, user: { ...present(account), api_key }, ...password_reset })
    },

    update: async (req: Request, res: Response) => {
      const account = await service.update(parse(Id, req.params).id, parse(UpdateBody, req.body))
      res.json({ success: true, user: present(account) })
    },

    suspend: async (req: Request, res: Response) => {
      const { reason, unlink_numbers } = parse(SuspendBody, req.body)
      const account = await service.suspend(parse(Id, req.params).id, { reason, unlink: unlink_numbers })
      res.json({ success: true, user: present(account) })
    },

    activate: async (req: Request, res: Response) => {
      res.json({ success: true, user: present(await service.activate(parse(Id, req.params).id)) })
    },

    resetLink: async (req: Request, res: Response) => {
      const password_reset = await service.resetLink(parse(Id, req.params).id)
      res.status(201).json({ success: true, password_reset })
    },

    purge: async (req: Request, res: Response) => {
      parse(Purge, req.query)
      await service.purge(parse(Id, req.params).id)
      res.json({ success: true, message: 'The user is deleted. Phone numbers and data are being erased.' })
    },

    listPlans: async (_req: Request, res: Response) => {
      res.json({ success: true, plans: await plans.list() })
    },

    createPlan: async (req: Request, res: Response) => {
      res.status(201).json({ success: true, plan: await plans.create(parse(PlanBody, req.body)) })
    },

    updatePlan: async (req: Request, res: Response) => {
      const { apply_to_users = false, ...change } = parse(PlanChange, req.body)
      const { plan, changed } = await plans.update(parse(PlanParams, req.params).plan_type, change, apply_to_users)
      res.json({ success: true, plan, users_changed: changed })
    },
  }
}

/** What is above a limit stays, and is shown, so that the operator can talk about it. */
function present(account: Account) {
  const over = account.phone_numbers - account.max_phone_numbers
  return {
    ...presentUser(account),
    suspended_at: account.suspended_at,
    suspension_reason: account.suspension_reason,
    phone_numbers: account.phone_numbers,
    connected_phone_numbers: account.connected,
    phone_numbers_over_limit: Math.max(0, over),
  }
}
