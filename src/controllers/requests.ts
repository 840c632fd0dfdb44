import type { Request, Response } from 'express'
import { z } from 'zod'
import { invalidRequest } from '../errors.js'
import type { LoggedRequest, RequestService } from '../services/requests.js'
import { Moment } from './fields.js'
import { Page, nextCursor, parseQuery } from './parse.js'

/** 404, or 4xx for all of a hundred. */
const Status = z
  .string()
  .regex(/^[1-5](\d\d|xx)$/, 'must be a status such as 404, or 4xx')
  .transform((text) => ({ min_status: Number(text.replace('xx', '00')), max_status: Number(text.replace('xx', '99')) }))

const Query = Page.extend({
  endpoint: z.string().trim().min(1).max(200).optional(),
  method: z
    .string()
    .toUpperCase()
    .pipe(z.enum(['GET', 'POST', 'PATCH', 'DELETE']))
    .optional(),
  status: Status.optional(),
  from: Moment.optional(),
  to: Moment.optional(),
})

export function requestController(service: RequestService) {
  return {
    list: async (req: Request, res: Response) => {
      const { cursor, status, ...filter } = parseQuery(Query, req.query)
      if (filter.from && filter.to && filter.from >= filter.to) throw invalidRequest('from must lie before to.')
      const found = await service.list(req.user, { ...filter, ...status, before: cursor })
      res.json({ success: true, requests: found.map(present), next_cursor: nextCursor(found, filter.limit) })
    },
  }
}

function present(request: LoggedRequest) {
  return {
    request_id: request.request_id,
    method: request.method,
    endpoint: request.endpoint,
    status_code: request.status_code,
    duration_ms: request.duration_ms,
    ip_address: request.ip_address,
    api_key_id: request.api_key_id,
    created_at: request.created_at,
  }
}
