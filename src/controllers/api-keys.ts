import type { Request, Response } from 'express'
import { z } from 'zod'
import { type ApiKey, type ApiKeyService, type Issued, SCOPES } from '../services/api-keys.js'
import { Moment } from './fields.js'
import { Id, numeric, parse } from './parse.js'
import { textList } from './text-list.js'

const Name = z.string().trim().min(1, 'must not be empty').max(100)
const Scopes = textList(z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`)).pipe(
  z.array(z.enum(SCOPES)).min(1, 'must name one scope at least').transform(inOrder),
)
const Expiry = Moment.nullable()
const RateLimit = numeric(z.number().int().min(1).max(1_000_000)).nullable()

const CreateBody = z.object({
  name: Name,
  scopes: Scopes.default([...SCOPES]),
  expires_at: Expiry.default(null),
  rate_limit_per_minute: RateLimit.default(null),
})
const UpdateBody = z
  .object({ name: Name, scopes: Scopes, expires_at: Expiry, rate_limit_per_minute: RateLimit })
  .partial()
const RotateBody = z.object({
  overlap_hours: numeric(z.number().min(0).max(168)).default(24),
  expires_at: Expiry.unwrap().optional(),
})

export function apiKeyController(service: ApiKeyService) {
  return {
    list: async (req: Request, res: Response) => {
      const keys = await service.list(req.user.id)
      res.json({ success: true, api_keys: keys.map((key) => present(key, req)) })
    },

    create: async (req: Request, res: Response) => {
      const issued = await service.create(req.access, parse(CreateBody, req.body))
      res.status(201).json({ success: true, message: SHOWN_ONCE, api_key: presentIssued(issued, req) })
    },

    update: async (req: Request, res: Response) => {
      const key = await service.update(req.access, parse(Id, req.params).id, parse(UpdateBody, req.body))
      res.json({ success: true, api_key: present(key, req) })
    },

    delete: async (req: Request, res: Response) => {
      await service.revoke(req.access, parse(Id, req.params).id)
      res.json({ success: true, message: 'API key revoked' })
    },

    rotate: async (req: Request, res: Response) => {
      const issued = await service.rotate(req.access, parse(Id, req.params).id, parse(RotateBody, req.body))
      res.status(201).json({ success: true, message: SHOWN_ONCE, api_key: presentIssued(issued, req) })
    },

    rotateAll: async (req: Request, res: Response) => {
      const api_key = await service.rotateAll(req.access)
      res.json({ success: true, message: 'This is your new API key. The old ones no longer work.', api_key })
    },
  }
}

const SHOWN_ONCE = 'Keep the key now: it is shown this once.'

const presentIssued = ({ key, api_key }: Issued, req: Request) => ({ ...present(key, req), key: api_key })

function present(key: ApiKey, req: Request) {
  return {
    id: key.id,
    name: key.name,
    hint: key.hint,
    scopes: key.scopes,
    rate_limit_per_minute: key.rate_limit_per_minute,
    expires_at: key.expires_at,
    last_used_at: key.last_used_at,
    created_at: key.created_at,
    current: key.id === req.access.api_key_id,
  }
}

/** Each once, in the order of the documentation. */
function inOrder<Scope extends string>(scopes: Scope[]): Scope[] {
  return (SCOPES as readonly string[]).filter((scope) => scopes.includes(scope as Scope)) as Scope[]
}
