const MAX_HEADERS = 20
const MAX_VALUE = 1_024
/** A token of RFC 9110, which is what a header may be called. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/
/** Printable ASCII: no line break can end the header early, and no byte depends on an encoding. */
const VALUE = /^[\x20-\x7e]*$/

/** What the connection needs, or what a receiver relies on to be ours. */
const RESERVED = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'content-encoding',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'keep-alive',
  'proxy-connection',
  'user-agent',
])

/** Why these cannot be a webhook's own headers, as a sentence; undefined when they can. */
export function headersProblem(headers: Record<string, string>): string | undefined {
  const names = Object.keys(headers)
  if (names.length > MAX_HEADERS) return `may be ${MAX_HEADERS} headers at most`
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length) return 'names one header twice'
  for (const [name, value] of Object.entries(headers)) {
    if (!NAME.test(name)) return `"${name.slice(0, 64)}" is not a header name`
    if (isReserved(name)) return `${name} is set by this server and cannot be chosen`
    if (value.length > MAX_VALUE) return `the value of ${name} may have ${MAX_VALUE} characters at most`
    if (!VALUE.test(value)) return `the value of ${name} may hold printable ASCII characters only`
  }
  return undefined
}

/** The headers after a change: a text sets one, null takes it away, and what is not named stays. */
export function mergeHeaders(
  headers: Record<string, string>,
  change: Record<string, string | null>,
): Record<string, string> {
  const named = new Set(Object.keys(change).map((name) => name.toLowerCase()))
  const kept = Object.entries(headers).filter(([name]) => !named.has(name.toLowerCase()))
  const set = Object.entries(change).filter((entry): entry is [string, string] => entry[1] !== null)
  return Object.fromEntries([...kept, ...set])
}

function isReserved(name: string): boolean {
  const lower = name.toLowerCase()
  return RESERVED.has(lower) || lower.startsWith('webhook-') || lower.startsWith('proxy-')
}
