/** Containers nested deeper than this become null: no genuine event comes near it, and recursion stays shallow. */
const MAX_DEPTH = 64

/**
 * JSON data (as JSON.parse gives it) in a form that PostgreSQL's text and jsonb accept: without NUL characters, lone
 * surrogates and `__proto__` keys, at most 64 levels deep. Answers the same object when nothing had to change.
 */
export function toStorable<T>(value: T): T {
  return clean(value, 1) as T
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return null
  return Array.isArray(value) ? cleanList(value, depth) : cleanObject(value as Record<string, unknown>, depth)
}

function cleanText(text: string): string {
  const withoutNul = text.includes('\0') ? text.replaceAll('\0', '') : text
  return withoutNul.isWellFormed() ? withoutNul : withoutNul.toWellFormed()
}

function cleanList(list: unknown[], depth: number): unknown[] {
  let changed = false
  const copy = list.map((item) => {
    const cleaned = clean(item, depth + 1)
    if (!Object.is(cleaned, item)) changed = true
    return cleaned
  })
  return changed ? copy : list
}

function cleanObject(object: Record<string, unknown>, depth: number): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined
  for (const key of Object.keys(object)) {
    const cleanKey = cleanText(key)
    const cleaned = clean(object[key], depth + 1)
    if (cleanKey === key && key !== '__proto__' && Object.is(cleaned, object[key])) continue
    copy ??= { ...object }
    // Compared after cleaning, for a NUL inside the name would otherwise hide it.
    if (cleanKey !== key || key === '__proto__') delete copy[key]
    if (cleanKey !== '__proto__') copy[cleanKey] = cleaned
  }
  return copy ?? object
}
