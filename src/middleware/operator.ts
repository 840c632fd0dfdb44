import { timingSafeEqual } from 'node:crypto'
import type { Request, RequestHandler } from 'express'
import { noSuchAddress, unauthorized } from '../errors.js'
import type { Logger } from '../logger.js'
import { whenOver } from '../request-end.js'
import type { AdminReports } from '../services/admin-reports.js'
import { toStorable } from '../services/sanitize.js'
import { sha256 } from '../services/sha256.js'

/** Only with the operator's key; without one in the settings these calls do not exist. */
export function requireOperator(apiKey: string | undefined): RequestHandler {
  const expected = apiKey === undefined ? undefined : sha256(apiKey)
  return (req, _res, next) => {
    if (!expected) throw noSuchAddress()
    // Digests are equally long, so neither time nor length tells anything about the key.
    if (!timingSafeEqual(sha256(req.get('x-admin-key') ?? ''), expected))
      throw unauthorized('Send the key of the operator (ADMIN_API_KEY) in the header x-admin-key.')
    next()
  }
}

const PRIVATE = new Set(['password'])

/** Notes every action before it runs, with who, from where and what; the outcome follows. */
export function audit(reports: AdminReports, log: Logger, action: string): RequestHandler {
  return async (req, res, next) => {
    const complete = await reports.begin({
      actor: actorOf(req),
      action,
      target: req.params,
      details: toStorable(withoutSecrets(req.body)),
      ip_address: req.ip ?? null,
      request_id: req.id,
    })
    whenOver(req, res, () => {
      complete(res.writableFinished ? res.statusCode : 499).catch((err: unknown) =>
        log.error({ err, request_id: req.id }, 'the outcome of an operator’s action could not be noted'),
      )
    })
    next()
  }
}

/** `npm run admin` says who sits at the shell; whoever has the key could say anything, so it is a hint. */
function actorOf(req: Request): string {
  const name = req.get('x-admin-actor')
  return name && /^[\w.@-]{1,60}$/.test(name) ? `shell:${name}` : 'api'
}

function withoutSecrets(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return {}
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, PRIVATE.has(name) ? '[private]' : (value as unknown)]),
  )
}
