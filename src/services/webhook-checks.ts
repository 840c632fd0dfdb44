import type { Queryable } from '../db/database.js'
import * as webhooks from '../db/webhooks.js'
import type { Webhook } from '../db/webhooks.js'
import { AppError, invalidRequest } from '../errors.js'
import { headersProblem, mergeHeaders } from '../webhooks/custom-headers.js'
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

/**
 * The headers after a change. Their values are never shown, so they do not go to another receiver either, where whoever may
 * change the webhook could read them: at another origin each is given again, or removed.
 */
export function changedHeaders(before: Webhook, url: string, given: Record<string, string | null>) {
  const named = new Set(Object.keys(given).map((name) => name.toLowerCase()))
  const hidden = Object.keys(before.headers).filter((name) => !named.has(name.toLowerCase()))
  const { origin } = new URL(before.url)
  if (hidden.length > 0 && new URL(url).origin !== origin) {
    const message = `give ${hidden.sort().join(', ')} again, or null: what was set for ${origin} is not sent elsewhere`
    throw invalidRequest(`headers: ${message} (PATCH /api/webhooks/${before.id}).`, [{ path: 'headers', message }])
  }
  return checkHeaders(mergeHeaders(before.headers, given))
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
