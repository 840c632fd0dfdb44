import type { Queryable } from '../db/database.js'
import * as webhooks from '../db/webhooks.js'
import { AppError, invalidRequest } from '../errors.js'
import { headersProblem } from '../webhooks/custom-headers.js'
import { isSecret } from '../webhooks/sign.js'
import { type TargetGuard, TargetRefused } from '../webhooks/target-guard.js'
import { refuseUnknownTypes } from './public-events.js'

const MAX_WEBHOOKS = 100

/** The URL as it is kept; refused in the words of the guard, under the name the field has in the call. */
export async function acceptedUrl(guard: TargetGuard, text: string, field: 'url' | 'webhook_url'): Promise<string> {
  try {
    return (await guard.checkUrl(text)).href
  } catch (err) {
    if (!(err instanceof TargetRefused)) throw err
    throw invalidRequest(err.message, [{ path: field, message: err.message }])
  }
}

export function checkTypes(types: string[]): string[] {
  const all = types.includes('*')
  refuseUnknownTypes(
    types.filter((type) => type !== '*'),
    'Use "*" for all, or some of',
  )
  return all ? ['*'] : [...new Set(types)]
}

export function checkHeaders(headers: Record<string, string>): Record<string, string> {
  const problem = headersProblem(headers)
  if (problem) throw invalidRequest(`headers: ${problem}.`, [{ path: 'headers', message: problem }])
  return headers
}

export function checkSecret(secret: string | undefined): string | undefined {
  if (secret === undefined || isSecret(secret)) return secret
  const message = 'must be whsec_ followed by 24 to 64 bytes in base64; leave it out to have one made'
  throw invalidRequest(`secret: ${message}.`, [{ path: 'secret', message }])
}

/** Under the user's lock. */
export async function refuseTooMany(tx: Queryable, userId: number): Promise<void> {
  if ((await webhooks.countOwned(tx, userId)) >= MAX_WEBHOOKS) throw tooMany()
}

const tooMany = () =>
  new AppError('conflict', `There are ${MAX_WEBHOOKS} webhooks already, the most a user may have. Delete one first.`)
