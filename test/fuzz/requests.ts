import fc from 'fast-check'
import { ENTRIES, type Ids } from '../support/entries.js'

export interface FuzzRequest {
  title: string
  method: string
  path: string
  headers: Record<string, string>
  body?: string | Uint8Array
}

const NASTY = [
  '',
  ' ',
  '\0',
  '\ud83d',
  '\u202e',
  '🧨'.repeat(20),
  "'; drop table users; --",
  '../../etc/passwd',
  '%00',
  '{{7*7}}',
  '\r\nset-cookie: a=b',
  'null',
  'undefined',
  'NaN',
  '-1',
  '0',
  '1e309',
  '9223372036854775808',
  '99999999999999999999',
  '2026-02-30',
  '2026-01-01T00:00:00+99:99',
  '+275760-09-13T00:00:00.001Z',
  '0001-01-01T00:00:00Z',
  'x'.repeat(300),
  'x'.repeat(70_000),
  'http://169.254.169.254/',
  'http://[::1',
  'data:text/plain,hi',
  '628000000001',
  '1203630000@g.us',
]

const text = fc.oneof(
  fc.constantFrom(...NASTY),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 40 }),
)
const scalar = fc.oneof(text, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.maxSafeInteger())
const value = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 2, arbitrary: fc.array(scalar, { maxLength: 4 }) },
  { weight: 2, arbitrary: fc.dictionary(text, scalar, { maxKeys: 4 }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
)

const segment = fc.oneof(text, fc.integer().map(String))
const QUERIES = [
  'limit',
  'cursor',
  'wait',
  'after',
  'status',
  'from',
  'to',
  'start_date',
  'end_date',
  'phone_number_id',
  'types',
]
const query = fc.array(fc.tuple(fc.oneof(fc.constantFrom(...QUERIES), text), text), { maxLength: 3 })
const headers = fc.dictionary(
  fc.constantFrom('idempotency-key', 'x-request-id', 'last-event-id', 'accept', 'range'),
  text,
  {
    maxKeys: 2,
  },
)

/** A good body of the route with some fields made bad, taken away or put in. */
function bodyOf(good: Record<string, unknown>): fc.Arbitrary<unknown> {
  const keys = Object.keys(good)
  const changes = fc.dictionary(fc.oneof(...(keys.length ? [fc.constantFrom(...keys)] : []), text), value, {
    maxKeys: 3,
  })
  const mutated = changes.map((change) => ({ ...good, ...change }))
  return fc.oneof(
    { weight: 8, arbitrary: mutated },
    { weight: 1, arbitrary: value },
    { weight: 1, arbitrary: fc.constant(good) },
  )
}

const TYPES = [
  'application/json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=b',
  'text/plain',
  'application/xml',
]

/** Calls that would end what the others need, or hold their caller on purpose. */
const LEFT_OUT = ['POST /api/user/api-key/rotate', 'DELETE /api/user', 'GET /api/events/stream']

/** Any request to any route, good in most respects and bad in some. */
export function anyRequest(ids: Ids, keys: { user: string }): fc.Arbitrary<FuzzRequest> {
  const titles = Object.keys(ENTRIES).filter((title) => !LEFT_OUT.includes(title))
  return fc.constantFrom(...titles).chain((title) => requestTo(title, ids, keys))
}

function requestTo(title: string, ids: Ids, keys: { user: string }): fc.Arbitrary<FuzzRequest> {
  const [method, pattern] = title.split(' ') as [string, string]
  const entry = ENTRIES[title]!
  const good = 'names' in entry ? entry.names(ids) : 'body' in entry ? entry.body! : {}
  const ending = method === 'DELETE' || pattern.endsWith('/logout') // what is gone cannot be asked for its depths
  const id = 'id' in entry && !ending ? fc.oneof(fc.constant(String(ids[entry.id])), segment) : segment
  return fc
    .record({ id, query, headers, body: bodyOf(good), type: fc.constantFrom(TYPES[0]!, TYPES[0]!, ...TYPES) })
    .map((parts) => {
      const search = new URLSearchParams(parts.query.map(([name, one]) => [name, cut(one, 200)]))
      const path = pattern.replace(/:\w+/, () => encodeURIComponent(wellFormed(cut(parts.id, 300))))
      const sent = { ...clean(parts.headers), 'x-api-key': keys.user, 'content-type': parts.type }
      const body = method === 'GET' ? undefined : bodyText(parts.body, parts.type)
      // Nobody wants to wait while a thousand others are due.
      return { title, method, path: `${path}?wait=0&${search.toString()}`, headers: sent, body }
    })
}

const cut = (one: string, length: number) => one.slice(0, length)
const wellFormed = (one: string) => one.replace(/\p{Surrogate}/gu, '?')
/** What an HTTP client can send at all. */
const clean = (given: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(given).map(([name, one]) => [name, cut(one.replace(/[^\x20-\x7e]/g, '?'), 300).trim()]),
  )

function bodyText(body: unknown, type: string): string {
  if (type.startsWith('multipart') && typeof body === 'object' && body !== null)
    return `${Object.entries(body)
      .map(
        ([name, one]) =>
          `--b\r\ncontent-disposition: form-data; name="${name.replace(/["\r\n]/g, '')}"\r\n\r\n${asText(one)}\r\n`,
      )
      .join('')}--b--\r\n`
  if (type.includes('urlencoded') && typeof body === 'object' && body !== null)
    return new URLSearchParams(Object.entries(body).map(([name, one]) => [name, asText(one)])).toString()
  return JSON.stringify(body) ?? ''
}

const asText = (one: unknown) => (typeof one === 'string' ? one : JSON.stringify(one))
