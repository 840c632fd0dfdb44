import { z } from 'zod'
import { invalidRequest } from '../errors.js'
import { toStorable } from '../services/sanitize.js'
import '../zod-words.js'
import { RowId } from './fields.js'

/** Parses the query of a list: a parameter that is passed over in silence would answer something else than was asked. */
export function parseQuery<Schema extends z.ZodObject>(schema: Schema, query: object): z.output<Schema> {
  const known = Object.keys(schema.shape)
  const unknown = Object.keys(query).filter((name) => !known.includes(name))
  if (unknown.length === 0) return parse(schema, query)
  const details = unknown.map((name) => ({ path: name.slice(0, 100), message: 'is no parameter of this call' }))
  throw invalidRequest(
    `The request is not valid. ${details.map(sentence).join(' ')} It takes ${known.join(', ')}.`,
    details,
  )
}

/** Express 5 makes req.query read-only, so input is parsed to a value rather than written back. */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  if (toStorable(input) !== input)
    throw invalidRequest(
      'The request holds something that cannot be stored: a NUL character, half a surrogate pair, or too many levels.',
    )
  const result = schema.safeParse(input ?? {})
  if (result.success) return result.data
  const details = detailsOf(result.error)
  throw invalidRequest(`The request is not valid. ${details.map(sentence).join(' ')}`, details)
}

/** A field of a multipart or urlencoded body that holds JSON; whatever cannot be kept stays the text it was. */
export function parseField(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return toStorable(value) === value ? value : text
  } catch {
    return text
  }
}

/** One for each field: what else is wrong with it follows from the first. */
export function detailsOf(err: z.ZodError) {
  const details = new Map<string, string>()
  for (const { path, message } of err.issues) if (!details.has(path.join('.'))) details.set(path.join('.'), message)
  return [...details].map(([path, message]) => ({ path, message }))
}

/** A body in which null for an optional field says no more than leaving it out: programs with typed bodies write it so. */
export function withoutNulls<Schema extends z.ZodObject>(schema: Schema) {
  const optional = new Set(Object.keys(schema.shape).filter((name) => schema.shape[name] instanceof z.ZodOptional))
  const says = ([name, value]: [string, unknown]) => value !== null || !optional.has(name)
  const hasNull = (body: object) => Object.values(body).includes(null)
  return z.preprocess(
    (body) => (isObject(body) && hasNull(body) ? Object.fromEntries(Object.entries(body).filter(says)) : body),
    schema,
  )
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const sentence = ({ path, message }: { path: string; message: string }) => `${path || 'body'}: ${message}.`

/** A number, or one as text, as forms have it. Unlike a coercion it does not take `null`, `""` and `true` for 0 and 1. */
export const numeric = (schema: z.ZodNumber) =>
  z.preprocess((value) => (typeof value === 'string' && value.trim() !== '' ? Number(value) : value), schema)

export const Id = z.object({ id: RowId })

/** `limit` and an opaque `cursor`; the controller gets the id to begin before. */
export const Page = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(100),
  cursor: z
    .string()
    .optional()
    .transform((cursor, ctx) => {
      if (cursor === undefined) return undefined
      const id = Number(Buffer.from(cursor, 'base64url').toString())
      if (Number.isSafeInteger(id) && id > 0) return id
      ctx.addIssue('is not a cursor of this list; use next_cursor of the page before')
      return z.NEVER
    }),
})

/** `undefined` when the page was not full: there is no next one. */
export function nextCursor(rows: { id: number }[], limit: number): string | null {
  return rows.length < limit ? null : Buffer.from(String(rows.at(-1)!.id)).toString('base64url')
}

/** The header of a call that may be repeated without doing it twice. */
export const IdempotencyKey = z
  .object({ 'idempotency-key': z.string().trim().min(1, 'must not be empty').max(255).optional() })
  .transform((headers) => ({ idempotency_key: headers['idempotency-key'] }))
