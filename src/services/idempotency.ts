import { hash } from 'node:crypto'
import type { Queryable } from '../db/database.js'
import * as idempotencyKeys from '../db/idempotency-keys.js'
import { AppError } from '../errors.js'
import type { MediaSource } from './media.js'
import { sha256 } from './sha256.js'

/** The caller's name for a call, by which its repetition is known, and what the call asked for. */
export interface Idempotency {
  key: string
  body_hash: Buffer
}

/** Undefined for a call that has no key. */
export function namedBy(key: string | undefined, call: string, request: object): Idempotency | undefined {
  return key === undefined ? undefined : { key, body_hash: hashOf(call, request) }
}

export const mismatch = () =>
  new AppError('idempotency_mismatch', 'This Idempotency-Key was used with another call or body. Use a new key.')

/**
 * What the key stands for already, under the lock of its user; `find` looks for it. Throws when that was another call, or
 * is there no more.
 */
export async function recall<Thing>(
  tx: Queryable,
  userId: number,
  { key, body_hash }: Idempotency,
  what: string,
  find: (found: idempotencyKeys.Remembered) => Promise<Thing | undefined>,
): Promise<Thing | undefined> {
  const found = await idempotencyKeys.hold(tx, userId, key)
  if (!found) return undefined
  if (!found.body_hash.equals(body_hash)) throw mismatch()
  const thing = await find(found)
  if (thing) return thing
  throw new AppError('conflict', `The ${what} of this Idempotency-Key is deleted. Use a new key to make another.`)
}

/** Makes the key stand for `made` from now on. */
export async function remember(
  tx: Queryable,
  userId: number,
  idempotency: Idempotency,
  made: idempotencyKeys.Made,
): Promise<void> {
  // A message may have taken it since it was recalled: that needs no lock of the user.
  if (!(await idempotencyKeys.takeFor(tx, { user_id: userId, ...idempotency }, made))) throw mismatch()
}

/** The same for the same request. Files count by their bytes. */
function hashOf(call: string, request: object): Buffer {
  return sha256(`${call}\n${JSON.stringify(request, withDigest)}`)
}

type Upload = NonNullable<MediaSource['upload']>

/** Of the same name may be something of the caller's own. */
const isUpload = (name: string, value: unknown): value is Upload =>
  name === 'upload' && (value as Partial<Upload> | null)?.bytes instanceof Uint8Array

function withDigest(name: string, value: unknown): unknown {
  if (!isUpload(name, value)) return value
  const { bytes, ...file } = value
  return { bytes: hash('sha256', bytes), ...file }
}
