import { createHash } from 'node:crypto'
import bcrypt from 'bcrypt'
import { Semaphore } from '../clients/semaphore.js'

const COST = 10
/** bcrypt runs in libuv's pool of four threads, which DNS and files need too: more than two at once freeze them. */
const slots = new Semaphore(2)

/** bcrypt reads 72 bytes at most, so it gets a digest of the whole password instead. */
const digest = (password: string) => createHash('sha256').update(password, 'utf8').digest('base64')

export function hashPassword(password: string): Promise<string> {
  return slots.run(() => bcrypt.hash(digest(password), COST))
}

/** Takes the same time for a user that does not exist (`hash` absent) as for a wrong password. */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  const matches = await slots.run(async () => bcrypt.compare(digest(password), hash ?? (await decoy)))
  return matches && hash !== undefined
}

const decoy = bcrypt.hash(digest('no such user'), COST)
