import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Evacuation } from '../services/evacuation.js'
import type { InstanceImport } from '../services/instance-import.js'
import type { ServerAdministration, ServerView } from '../services/server-administration.js'
import { Flag } from './fields.js'
import { parse } from './parse.js'
import { presentNumber } from './present-number.js'
import { textList } from './text-list.js'

const Name = z
  .string()
  .trim()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/, 'must be letters, digits, dots, colons and dashes, such as evolution-3')
const Url = z
  .url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' })
  .transform((url) => url.replace(/\/+$/, ''))
const Whole = z.coerce.number('must be a whole number').int()
const Capacity = Whole.min(1, 'must be at least 1; to take no more numbers set "state": "draining"')
  .max(100_000)
  .nullable()
const Memory = Whole.min(315, 'must be at least 315: the server itself takes 300').max(1_000_000).nullable()

const AddBody = z.strictObject({
  name: Name,
  url: Url,
  capacity: Capacity.default(null),
  memory_mb: Memory.default(null),
})
const UpdateBody = z
  .strictObject({ url: Url, state: z.enum(['active', 'draining', 'disabled']), capacity: Capacity, memory_mb: Memory })
  .partial()
  .refine((body) => Object.keys(body).length > 0, { error: 'must name at least one field to change' })
const Params = z.object({ name: z.string().max(100) })
const EvacuateBody = z.strictObject({ force: Flag.default(false) })
const ImportBody = z.strictObject({
  user_id: Whole.min(1),
  instances: textList(z.string().min(1).max(100)).pipe(z.array(z.string()).min(1, 'must name an instance').max(500)),
})

export function adminServerController(service: ServerAdministration, evacuation: Evacuation, imports: InstanceImport) {
  const nameOf = (req: Request) => parse(Params, req.params).name
  return {
    list: async (_req: Request, res: Response) => {
      res.json({ success: true, servers: (await service.list()).map(present) })
    },

    get: async (req: Request, res: Response) => {
      res.json({ success: true, server: present(await service.get(nameOf(req))) })
    },

    add: async (req: Request, res: Response) => {
      res.status(201).json({ success: true, server: present(await service.add(parse(AddBody, req.body))) })
    },

    update: async (req: Request, res: Response) => {
      const server = await service.update(nameOf(req), parse(UpdateBody, req.body))
      res.json({ success: true, server: present(server) })
    },

    remove: async (req: Request, res: Response) => {
      await service.remove(nameOf(req))
      res.json({ success: true, message: 'The server is no longer in the pool' })
    },

    evacuate: async (req: Request, res: Response) => {
      const evacuated = await evacuation.run(nameOf(req), parse(EvacuateBody, req.body))
      res.json({ success: true, evacuated })
    },

    instances: async (req: Request, res: Response) => {
      res.json({ success: true, instances: await imports.list(nameOf(req)) })
    },

    import: async (req: Request, res: Response) => {
      const { user_id, instances } = parse(ImportBody, req.body)
      const adopted = await imports.adopt(nameOf(req), user_id, instances)
      res.status(201).json({ success: true, phone_numbers: adopted.map(presentNumber) })
    },
  }
}

function present(server: ServerView) {
  const { name, url, source, listed, state, healthy, problem, problem_code, checked_at, down_since } = server
  const { version, client_name, licence, duplicate_of, shares_with, foreign_instances } = server
  return {
    name,
    url,
    source,
    listed,
    state,
    takes_numbers: server.takes_numbers,
    healthy,
    problem: problem_code === null ? null : { code: problem_code, message: problem },
    checked_at,
    down_since,
    version,
    client_name,
    licence,
    key: problem_code === 'key_refused' ? 'refused' : healthy === null ? null : 'good',
    duplicate_client_name: duplicate_of ?? shares_with,
    foreign_instances,
    breaker_open: server.breaker_open,
    capacity: server.effective_capacity,
    capacity_from: server.capacity === null ? 'memory' : 'setting',
    memory_mb: server.memory_mb,
    phone_numbers: { placed: server.placed, parked: server.parked, ...server.statuses },
    pending_removals: server.pending_removals,
    created_at: server.created_at,
  }
}
