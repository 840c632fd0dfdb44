import { Webhook } from 'standardwebhooks'
import { isSecret, newSecret, signatureHeaders } from './sign.js'

const attempt = (secrets: string[], body = '{"type":"message.received","text":"Grüße 👋"}') => ({
  id: 'evt_01JABC',
  timestamp: new Date(),
  body,
  secrets,
})

describe('a signature', () => {
  test('verifies with the standardwebhooks package', () => {
    const secret = newSecret()
    const signed = attempt([secret])
    expect(new Webhook(secret).verify(signed.body, signatureHeaders(signed))).toEqual(JSON.parse(signed.body))
  })

  test('verifies with both secrets during a rotation, and with no third one', () => {
    const [old, fresh, stranger] = [newSecret(), newSecret(), newSecret()]
    const signed = attempt([fresh, old])
    const headers = signatureHeaders(signed)
    expect(headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/=]{44} v1,[A-Za-z0-9+/=]{44}$/)
    expect(() => new Webhook(old).verify(signed.body, headers)).not.toThrow()
    expect(() => new Webhook(fresh).verify(signed.body, headers)).not.toThrow()
    expect(() => new Webhook(stranger).verify(signed.body, headers)).toThrow(/No matching signature/)
  })

  test('does not verify another body or id', () => {
    const secret = newSecret()
    const signed = attempt([secret])
    const headers = signatureHeaders(signed)
    expect(() => new Webhook(secret).verify(`${signed.body} `, headers)).toThrow()
    expect(() => new Webhook(secret).verify(signed.body, { ...headers, 'webhook-id': 'evt_other' })).toThrow()
  })

  test('is the one of the reference implementation for a fixed moment', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    const timestamp = new Date('2026-03-01T10:00:00.900Z')
    const headers = signatureHeaders({ id: 'evt_1', timestamp, body: '{"a":1}', secrets: [secret] })
    expect(headers['webhook-timestamp']).toBe('1772359200')
    expect(headers['webhook-signature']).toBe(new Webhook(secret).sign('evt_1', timestamp, '{"a":1}'))
  })

  test('is refused without a secret and with an empty one', () => {
    expect(() => signatureHeaders(attempt([]))).toThrow(TypeError)
    expect(() => signatureHeaders(attempt(['whsec_']))).toThrow(TypeError)
  })
})

describe('a secret', () => {
  test('is new each time and recognised', () => {
    const [one, two] = [newSecret(), newSecret()]
    expect(one).not.toBe(two)
    expect(one).toMatch(/^whsec_[A-Za-z0-9+/]{32}$/)
    expect(isSecret(one)).toBe(true)
  })

  test.each([
    ['too short', 'whsec_c2hvcnQ='],
    ['too long', `whsec_${Buffer.alloc(65).toString('base64')}`],
    ['without its prefix', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    ['of another kind', 'whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    ['with letters that are not base64', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!'],
    ['with a space', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw '],
    ['without padding', `whsec_${Buffer.alloc(32).toString('base64').replace('=', '')}`],
    ['that is no text', 42],
  ])('%s is none', (_what, value) => {
    expect(isSecret(value)).toBe(false)
  })

  test('of 64 bytes is one', () => {
    expect(isSecret(`whsec_${Buffer.alloc(64).toString('base64')}`)).toBe(true)
  })
})
