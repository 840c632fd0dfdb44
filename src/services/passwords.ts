import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import { Semaphore } from '../clients/semaphore.js'
import { unavailable } from '../errors.js'

const COST = 10
/** bcrypt runs in libuv's pool of four threads, which DNS and files need too; and a core must be left for sending. */
const slots = new Semaphore(availableParallelism() > 2 ? 2 : 1)
/** About fifteen seconds of work: who comes later would only hear of it after having given up. */
const MAX_WAITING = 300

/** bcrypt reads 72 bytes at most, so it gets a digest of the whole password instead. */
const digest = (password: string) => createHash('sha256').update(password, 'utf8').digest('base64')

/** Throws `unavailable` while too many passwords wait to be looked at. */
export function refuseCrowd(): void {
  if (slots.depth >= MAX_WAITING)
    throw unavailable('Too many people log in at this moment. Try again in a few seconds.')
}

export function hashPassword(password: string): Promise<string> {
  return slots.run(() => bcrypt.hash(digest(password), COST))
}

/** Takes the same time for a user that does not exist (`hash` absent) as for a wrong password. */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  const matches = await slots.run(async () => bcrypt.compare(digest(password), hash ?? (await decoy)))
  return matches && hash !== undefined
}

const decoy = bcrypt.hash(digest('no such user'), COST)
