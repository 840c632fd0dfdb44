import fc from 'fast-check'
import { parseRecipient, RecipientInvalid } from './recipients.js'

const PERSONS: [input: string | number, country: string, recipient: string][] = [
  ['+6281234567890', 'ID', '6281234567890'],
  ['6281234567890', 'ID', '6281234567890'],
  ['081234567890', 'ID', '6281234567890'],
  ['81234567890', 'ID', '6281234567890'],
  ['0812-3456-7890', 'ID', '6281234567890'],
  ['0812 3456 7890', 'ID', '6281234567890'],
  ['0812.3456.7890', 'ID', '6281234567890'],
  ['(0812) 3456–7890', 'ID', '6281234567890'],
  ['+62 (0)812 3456 7890', 'ID', '6281234567890'],
  ['62 0812 3456 7890', 'ID', '6281234567890'],
  ['0062 812 3456 7890', 'ID', '6281234567890'],
  ['+62\u00a0812\u20113456\u20117890', 'ID', '6281234567890'],
  ['\u202a+62 812-3456-7890\u202c', 'ID', '6281234567890'],
  ['  +62812 3456 7890\n', 'ID', '6281234567890'],
  ['(+62) 812 3456 7890', 'SG', '6281234567890'],
  ['＋６２８１２３４５６７８９０', 'ID', '6281234567890'],
  ['٠٨١٢٣٤٥٦٧٨٩٠', 'ID', '6281234567890'],
  ['۰۸۱۲۳۴۵۶۷۸۹۰', 'ID', '6281234567890'],
  [6281234567890, 'ID', '6281234567890'],
  [81234567890, 'ID', '6281234567890'],
  ['021 555 1234', 'ID', '62215551234'],
  ['021/5551234', 'ID', '62215551234'],
  ['6281234567890@s.whatsapp.net', 'ID', '6281234567890'],
  ['6281234567890:12@s.whatsapp.net', 'ID', '6281234567890'],
  ['6281234567890@c.us', 'ID', '6281234567890'],
  ['819012345678@s.whatsapp.net', 'ID', '819012345678'],
  ['+81 90 1234 5678', 'ID', '819012345678'],
  ['+852 9123 4567', 'ID', '85291234567'],
  ['6591234567', 'ID', '6591234567'],
  ['+65 9123 4567', 'ID', '6591234567'],
  ['0065 9123 4567', 'ID', '6591234567'],
  ['6591234567', 'SG', '6591234567'],
  ['091234567', 'SG', '6591234567'],
  ['+55 (11) 98765-4321', 'ID', '5511987654321'],
  ['5511987654321', 'BR', '5511987654321'],
  ['551187654321', 'BR', '551187654321'],
  ['011 98765-4321', 'BR', '5511987654321'],
  ['0 41 11 98765-4321', 'BR', '5511987654321'],
  ['+52 55 1234 5678', 'MX', '525512345678'],
  ['+52 1 55 1234 5678', 'MX', '5215512345678'],
  ['5215512345678@s.whatsapp.net', 'ID', '5215512345678'],
  ['055 1234 5678', 'MX', '525512345678'],
  ['+1 (415) 555-2671', 'US', '14155552671'],
  ['14155552671', 'ID', '14155552671'],
  ['1.415.555.2671', 'US', '14155552671'],
  [14155552671, 'US', '14155552671'],
  ['0 415 555 2671', 'US', '14155552671'],
  ['+1 555 000 0000', 'ID', '15550000000'],
  ['+54 9 11 2345 6789', 'ID', '5491123456789'],
  ['06 12345678', 'IT', '390612345678'],
  ['+225 07 12 34 56', 'ID', '22507123456'],
  ['07911 123456', 'GB', '447911123456'],
]

const OTHERS: [input: string, recipient: string, kind: string][] = [
  ['120363025486123456@g.us', '120363025486123456@g.us', 'group'],
  ['6281234567890-1400000000@g.us', '6281234567890-1400000000@g.us', 'group'],
  [' 120363025486123456@G.US ', '120363025486123456@g.us', 'group'],
  ['123456789012345@lid', '123456789012345@lid', 'lid'],
  ['123456789012345:7@lid', '123456789012345@lid', 'lid'],
]

const REFUSED: [input: unknown, sentence: RegExp][] = [
  ['', /empty/],
  ['   ', /empty/],
  ['abc', /only hold digits/],
  ['0812-CALL-NOW', /only hold digits/],
  ['tel:+6281234567890', /only hold digits/],
  ['+62812x3456', /only hold digits/],
  ['62+81234567890', /only hold digits/],
  ['++6281234567890', /only hold digits/],
  ['०८१२३४५६७८९०', /only hold digits/],
  ['①②③④⑤⑥⑦⑧', /only hold digits/],
  ['081234567890, 081234567891', /one recipient/],
  ['081234567890;081234567891', /one recipient/],
  ['0'.repeat(200), /too long/],
  ['0', /No country/],
  ['000000000000', /No country/],
  ['12', /No country/],
  ['+0812345678', /No country/],
  ['+999123456789', /No country/],
  ['+628', /No country/],
  ['+6281234567890123', /No country/],
  ['62812345678901234567', /No country/],
  ['status@broadcast', /Broadcast/],
  ['1234567890@broadcast', /Broadcast/],
  ['120363025486123456@newsletter', /Channels/],
  ['someone@example.com', /not a WhatsApp address/],
  ['@g.us', /not a WhatsApp address/],
  ['abc@g.us', /not a WhatsApp address/],
  ['120363025486123456@g.us@g.us', /not a WhatsApp address/],
  ['../120363025486123456@g.us', /not a WhatsApp address/],
  ['x@s.whatsapp.net', /not a WhatsApp address/],
  ['0@s.whatsapp.net', /not a WhatsApp address/],
  ['081234567890@s.whatsapp.net', /No country/],
  [-6281234567890, /whole/],
  [6281234567890.5, /whole/],
  [2 ** 60, /whole/],
  [NaN, /whole/],
  [null, /must be a text/],
  [{}, /must be a text/],
  [undefined, /must be a text/],
]

describe('a person', () => {
  test.each(PERSONS)('%j in %s is %s', (input, country, recipient) => {
    expect(parseRecipient(input, country)).toEqual({ recipient, kind: 'person' })
  })
})

describe('a group or LID', () => {
  test.each(OTHERS)('%j is kept', (input, recipient, kind) => {
    expect(parseRecipient(input, 'ID')).toEqual({ recipient, kind })
  })
})

describe('a refusal', () => {
  test.each(REFUSED)('of %j says what is wrong', (input, sentence) => {
    const attempt = () => parseRecipient(input as string, 'ID')
    expect(attempt).toThrow(RecipientInvalid)
    expect(attempt).toThrow(sentence)
  })

  test('does not repeat the number, so that it never reaches a log', () => {
    expect(() => parseRecipient('+9991234567', 'ID')).toThrow(expect.not.objectContaining({ message: /9991234567/ }))
  })

  test('asks for the country code when the default country is unknown', () => {
    expect(() => parseRecipient('081234567890', '')).toThrow(/no country code/)
  })
})

describe('any input', () => {
  const countries = fc.constantFrom('ID', 'SG', 'BR', 'MX', 'US', 'IT', 'GB', '')
  const writing = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.double(),
    fc.stringMatching(/^[+0]{0,2}[0-9 ()-]{5,20}$/),
    fc.stringMatching(/^[0-9]{5,20}(@g\.us|@lid|@c\.us|@s\.whatsapp\.net)?$/),
    fc.stringMatching(/^(\+62|62|08|8|\+1|\+81|55|521)[0-9]{7,11}$/),
  )
  const attempt = (input: string | number, country: string) => {
    try {
      return parseRecipient(input, country)
    } catch (error) {
      if (error instanceof RecipientInvalid) return undefined
      throw error
    }
  }

  test('gives a recipient or RecipientInvalid, and a recipient is itself when read again', () => {
    const check = fc.property(writing, countries, (input, country) => {
      const found = attempt(input, country)
      if (!found) return
      // A bare 8… stays ambiguous in Indonesia (0852… or Hong Kong's 852…): there the + must be kept.
      const written =
        found.kind === 'person' && found.recipient.startsWith('8') ? `+${found.recipient}` : found.recipient
      expect(parseRecipient(written, country)).toEqual(found)
      if (found.kind === 'person') {
        expect(found.recipient).toMatch(/^[1-9]\d{4,14}$/)
        expect(parseRecipient(`${found.recipient}@s.whatsapp.net`, country)).toEqual(found)
      }
    })
    fc.assert(check, { numRuns: 3000 })
  })
})
