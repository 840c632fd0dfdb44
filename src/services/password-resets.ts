import { randomBytes } from 'node:crypto'
import type { Queryable } from '../db/database.js'
import * as passwordResets from '../db/password-resets.js'
import { sha256 } from './sha256.js'

const VALID_HOURS = 24

export interface ResetLink {
  url: string
  expires_at: Date
}

/** A link with which its user sets a new password, once. The token stands behind the #, where no log sees it. */
export async function issueResetLink(tx: Queryable, userId: number, publicUrl: string): Promise<ResetLink> {
  const token = randomBytes(32).toString('base64url')
  const hash = sha256(token)
  const expires_at = await passwordResets.insert(tx, userId, hash, VALID_HOURS)
  return { url: `${publicUrl}/reset-password#${token}`, expires_at }
}
