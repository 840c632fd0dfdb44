import fc from 'fast-check'
import { toStorable } from './sanitize.js'

const nested = (levels: number): unknown => (levels === 0 ? 'end' : [nested(levels - 1)])
const depthOf = (value: unknown): number => (Array.isArray(value) ? 1 + depthOf(value[0]) : 0)

describe('data to be stored', () => {
  test('loses NUL characters and lone surrogates, in values and in keys', () => {
    const value = JSON.parse(
      '{"te\\u0000xt":"a\\u0000b","half":"\\ud83d!","other":["\\udc4b",{"k\\ud83d":1}],"whole":"👋"}',
    ) as unknown
    expect(toStorable(value)).toEqual({ text: 'ab', half: '\ufffd!', other: ['\ufffd', { 'k\ufffd': 1 }], whole: '👋' })
  })

  test('loses __proto__ keys, also such as appear when a NUL is removed', () => {
    const value = JSON.parse('{"a":{"__proto__":{"admin":true},"b":1},"__pro\\u0000to__":{"admin":true}}') as {
      a: object
    }
    const stored = toStorable(value)
    expect(JSON.stringify(stored)).toBe('{"a":{"b":1}}')
    expect(Object.getPrototypeOf(stored.a)).toBe(Object.prototype)
    expect((stored as { admin?: boolean }).admin).toBeUndefined()
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })

  test('is cut with null below 64 levels', () => {
    expect(toStorable(nested(64))).toEqual(nested(64))
    const cut = toStorable(nested(65))
    expect(depthOf(cut)).toBe(64)
    expect(JSON.stringify(cut)).toContain('[null]')
    expect(depthOf(toStorable(JSON.parse('['.repeat(5000) + ']'.repeat(5000))))).toBe(64)
  })

  test('is the same object when there is nothing to change', () => {
    const value = { a: [1, 'two', null, true, { b: '👋' }], c: {} }
    expect(toStorable(value)).toBe(value)
  })

  test('leaves the original and its clean parts as they are', () => {
    const kept = { c: 1 }
    const value = { a: 'x\0', kept, list: [kept, 'y\0'] }
    const stored = toStorable(value)
    expect(value).toEqual({ a: 'x\0', kept: { c: 1 }, list: [{ c: 1 }, 'y\0'] })
    expect(stored.kept).toBe(kept)
    expect(stored.list[0]).toBe(kept)
  })

  test.each([null, undefined, true, 0, 1.5, 'text', ''])('%j alone stays', (value) => {
    expect(toStorable(value)).toBe(value)
  })

  test('is always well-formed, free of NUL, and unchanged by a second pass', () => {
    const texts = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\0', '\ud83d', '__proto__', '\udc4b\0x'))
    const values = fc.jsonValue({ stringUnit: 'binary' })
    const check = fc.property(fc.dictionary(texts, fc.oneof(texts, values, fc.array(texts))), (value) => {
      const stored = toStorable(value)
      const text = JSON.stringify(stored)
      expect(text).not.toMatch(/\\u0000|\\ud[89a-f]/)
      expect(toStorable(stored)).toBe(stored)
    })
    fc.assert(check, { numRuns: 500 })
  })
})
