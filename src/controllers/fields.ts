import { z } from 'zod'

/** True or false, also as the words that forms and queries have for them. */
export const Flag = z.union([z.boolean(), z.stringbool()], 'must be true or false')

/** The id of a row of ours. */
export const RowId = z.coerce.number('must be a number').int().positive().max(Number.MAX_SAFE_INTEGER)

const MOMENT = 'must be a time with its zone, like 2026-01-31T09:00:00+07:00'
const withSeconds = z.iso.datetime({ offset: true, error: MOMENT })
const withoutSeconds = z.iso.datetime({ offset: true, precision: -1, error: MOMENT })

/** A moment. A `+` that nobody escaped arrives from a query as a space. */
export const Moment = z
  .string({ error: (issue) => (issue.input === undefined ? 'is missing' : MOMENT) })
  .transform((text) => text.trim().replace(/ (?=\d\d:\d\d$)/, '+'))
  .pipe(z.union([withSeconds, withoutSeconds], MOMENT))
  .transform((text) => new Date(text))
