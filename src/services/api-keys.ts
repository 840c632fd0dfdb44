import { createHash, randomBytes } from 'node:crypto'

/** A new key and what is stored of it: 32 random bytes need no salt and no slow hash. */
export function newApiKey() {
  const api_key = `wsk_${randomBytes(32).toString('base64url')}`
  return { api_key, key_hash: hashApiKey(api_key), hint: `wsk_…${api_key.slice(-4)}` }
}

export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** Anything else cannot be a key and is not worth a look-up. */
export const isApiKey = (text: string) => /^wsk_[\w-]{43}$/.test(text)
