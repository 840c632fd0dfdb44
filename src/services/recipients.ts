import { isSupportedCountry, parsePhoneNumberFromString, type CountryCode } from 'libphonenumber-js/core'
import metadata from 'libphonenumber-js/min/metadata'

export type Recipient = {
  /** Digits with country code for a person; the whole JID for a group or a LID. */
  recipient: string
  kind: 'person' | 'group' | 'lid'
}

/** The `number` of a request cannot be sent to; the message is public and never repeats the number. */
export class RecipientInvalid extends Error {
  override name = 'RecipientInvalid'
}

const EXAMPLE = 'Write it with its country code, like +6281234567890.'
const MAX_INPUT_LENGTH = 100
const E164_MAX_DIGITS = 15

/** Zero of the scripts whose digits keyboards really produce: full width, Arabic, Persian. */
const FOREIGN_ZEROS = [0xff10, 0x0660, 0x06f0]
const FOREIGN_DIGIT = /[\uff10-\uff19\u0660-\u0669\u06f0-\u06f9]/g
/** Spaces, dashes, brackets, dots, slashes, and the invisible marks that copying from a contact brings along. */
const DECORATION = /[\p{Z}\t\r\n\p{Pd}\u2212\p{Ps}\p{Pe}./\u00b7\u2022\p{Cf}]/gu

/** Addresses from before these countries lengthened or shortened their numbers: WhatsApp still uses them. */
const LEGACY_FORMS = [/^521\d{10}$/, /^225\d{8}$/, /^229\d{8}$/]

const GROUP = /^\d{10,20}(-\d{5,20})?@g\.us$/
const LID = /^(\d{5,20})(?::\d{1,4})?@lid$/
const PERSON = /^\+?(\d{5,20})(?::\d{1,4})?@(?:s\.whatsapp\.net|c\.us)$/

/**
 * Reads a recipient as people write it: `+` or `00` is international, a leading `0` (or `8` in
 * Indonesia) is national, other digits are international.
 * @throws {RecipientInvalid}
 */
export function parseRecipient(input: string | number, defaultCountry: string): Recipient {
  const text = textOf(input)
  if (text.includes('@')) return parseJid(text.toLowerCase())
  return { recipient: parseNumber(text, defaultCountry), kind: 'person' }
}

function textOf(input: unknown): string {
  if (typeof input === 'number') {
    if (Number.isSafeInteger(input) && input >= 0) return String(input)
    throw new RecipientInvalid(
      'A number given as a JSON number must be a whole one; better give it as a text in quotes.',
    )
  }
  if (typeof input !== 'string') throw new RecipientInvalid(`The number must be a text. ${EXAMPLE}`)
  if (input.length > MAX_INPUT_LENGTH) {
    throw new RecipientInvalid('The number is too long. Give one recipient per message.')
  }
  const text = input.trim()
  if (text === '') throw new RecipientInvalid(`The number is empty. ${EXAMPLE}`)
  return text
}

function parseJid(jid: string): Recipient {
  if (GROUP.test(jid)) return { recipient: jid, kind: 'group' }
  const lid = LID.exec(jid)?.[1]
  if (lid) return { recipient: `${lid}@lid`, kind: 'lid' }
  const person = PERSON.exec(jid)?.[1]
  if (person) return { recipient: international(person), kind: 'person' }
  if (jid.endsWith('@broadcast')) {
    throw new RecipientInvalid('Broadcast lists and status updates cannot be sent to. Give one person or group.')
  }
  if (jid.endsWith('@newsletter')) {
    throw new RecipientInvalid('Channels cannot be sent to. Give one person or group.')
  }
  throw new RecipientInvalid(
    'This is not a WhatsApp address. Give a phone number, or an address ending in @s.whatsapp.net, @g.us or @lid.',
  )
}

function parseNumber(text: string, defaultCountry: string): string {
  const bare = text
    .replace(/\uff0b/g, '+')
    .replace(FOREIGN_DIGIT, toAsciiDigit)
    .replace(DECORATION, '')
  if (/[,;&|]/.test(bare)) throw new RecipientInvalid('Give one recipient per message, not a list.')
  const [, plus, digits] = /^(\+?)(\d+)$/.exec(bare) ?? []
  if (digits === undefined) {
    throw new RecipientInvalid(`The number may only hold digits, spaces and dashes, and a + in front. ${EXAMPLE}`)
  }
  if (plus) return international(digits)
  if (digits.startsWith('00')) return international(digits.slice(2))
  if (digits.startsWith('0') || (digits.startsWith('8') && defaultCountry === 'ID')) {
    return national(digits, defaultCountry)
  }
  return international(digits)
}

function toAsciiDigit(digit: string): string {
  const code = digit.charCodeAt(0)
  const zero = FOREIGN_ZEROS.find((start) => code >= start && code < start + 10)!
  return String(code - zero)
}

function international(digits: string): string {
  if (LEGACY_FORMS.some((form) => form.test(digits))) return digits
  return possible(`+${digits}`) ?? refuse()
}

/** A leading 0 is tried as part of the number first (Italy), then dropped (countries without a trunk prefix). */
function national(digits: string, country: string): string {
  if (!isCountry(country)) throw new RecipientInvalid(`The number has no country code. ${EXAMPLE}`)
  return possible(digits, country) ?? possible(digits.replace(/^0+/, ''), country) ?? refuse()
}

/** Whether its numbers can be told, by its two capital letters. */
export function isCountry(name: string): name is CountryCode {
  return isSupportedCountry(name as CountryCode, metadata)
}

/** "Possible", not "valid": number ranges open faster than the metadata learns of them. */
function possible(text: string, defaultCountry?: CountryCode): string | undefined {
  const parsed = parsePhoneNumberFromString(text, { defaultCountry, extract: false }, metadata)
  if (!parsed?.isPossible()) return undefined
  const digits = parsed.number.slice(1)
  if (digits.length > E164_MAX_DIGITS) return undefined
  // One trunk 0 after the country code is dropped; what would lose another when read again is no number.
  return parsed.number === text || possible(parsed.number) === digits ? digits : undefined
}

function refuse(): never {
  throw new RecipientInvalid(
    `No country has numbers like this one: it is too short, too long or incomplete. ${EXAMPLE}`,
  )
}
