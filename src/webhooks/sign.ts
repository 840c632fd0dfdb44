import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'
const KEY_BYTES = 24
/** Bounds of the Standard Webhooks specification, "Signature scheme". */
const MIN_KEY_BYTES = 24
const MAX_KEY_BYTES = 64

export type SignatureHeaders = {
  'webhook-id': string
  'webhook-timestamp': string
  'webhook-signature': string
}

/** A new signing secret: `whsec_` and 24 random bytes in base64. */
export function newSecret(): string {
  return PREFIX + randomBytes(KEY_BYTES).toString('base64')
}

/** Whether this is a Standard Webhooks secret: `whsec_` and 24 to 64 bytes in padded base64. */
export function isSecret(value: unknown): value is string {
  if (typeof value !== 'string' || !value.startsWith(PREFIX)) return false
  const key = keyOf(value)
  return key.length >= MIN_KEY_BYTES && key.length <= MAX_KEY_BYTES && PREFIX + key.toString('base64') === value
}

/** Signs one attempt with every secret given (two during a rotation); throws TypeError without a usable secret. */
export function signatureHeaders(attempt: {
  id: string
  timestamp: Date
  body: string
  secrets: string[]
}): SignatureHeaders {
  if (attempt.secrets.length === 0) throw new TypeError('A webhook cannot be signed without a secret.')
  const seconds = String(Math.floor(attempt.timestamp.getTime() / 1000))
  const content = `${attempt.id}.${seconds}.${attempt.body}`
  return {
    'webhook-id': attempt.id,
    'webhook-timestamp': seconds,
    'webhook-signature': attempt.secrets.map((secret) => signature(secret, content)).join(' '),
  }
}

function signature(secret: string, content: string): string {
  // An empty key would still give a signature, one that anybody can make.
  if (keyOf(secret).length === 0) throw new TypeError('A webhook secret must be whsec_ and base64.')
  // Given as bytes, it would be made a key object each time: on Node.js 24 several times the work of the signature.
  const hmac = createHmac('sha256', secret.slice(PREFIX.length), { encoding: 'base64' })
  return `v1,${hmac.update(content, 'utf8').digest('base64')}`
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(PREFIX.length), 'base64')
}
