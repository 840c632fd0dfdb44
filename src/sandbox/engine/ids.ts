import { createHash, randomBytes, randomUUID } from 'node:crypto'

const PAIRING_ALPHABET = '123456789ABCDEFGHJKLMNPQRSTVWXYZ'
const BASE36 = '0123456789abcdefghijklmnopqrstuvwxyz'

/** A WhatsApp message id as Baileys makes them for messages it sends. */
export const newKeyId = (): string => `3EB0${randomBytes(9).toString('hex').toUpperCase()}`

/** A WhatsApp message id as phones make them. */
export const newPhoneKeyId = (): string => `3A${randomBytes(9).toString('hex').toUpperCase()}`

/** A database id in the looks of Prisma's cuid. */
export const newRowId = (): string => `cm${pick(BASE36, 23)}`

export const newToken = (): string => randomUUID().toUpperCase()

export const newPairingCode = (): string => pick(PAIRING_ALPHABET, 8)

/** What a QR code says: a reference and three public keys. */
export function newQrText(): string {
  const parts = Array.from({ length: 4 }, () => randomBytes(32).toString('base64'))
  return `2@${parts.join(',')}`
}

export const nowSeconds = (): number => Math.floor(Date.now() / 1000)

/** A 64-bit number as protobufjs writes it into JSON. */
export const long = (value: number, unsigned = false) => ({ low: value | 0, high: 0, unsigned })

/** Plain Uint8Array on purpose: JSON writes it as an index map, as Evolution does (a Buffer it would not). */
export const randomMap = (size = 32): Uint8Array => new Uint8Array(randomBytes(size))

export const sha256Map = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

export const sha256Base64 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64')

function pick(alphabet: string, length: number): string {
  return Array.from(randomBytes(length), (byte) => alphabet[byte % alphabet.length]).join('')
}
