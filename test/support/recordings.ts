import { readFileSync } from 'node:fs'

export interface Exchange {
  name: string
  request: { method: string; server: string; path: string; apikey?: string; body?: unknown; rawBody?: string }
  response: { status: number | null; body?: unknown }
}

export interface WebhookEvent {
  path: string
  headers: Record<string, string>
  body: { event: string; date_time: string; data: unknown }
}

export interface WebhookRecording {
  name: string
  webhooks: WebhookEvent[]
}

const read = <Row extends { name: string }>(file: string): Map<string, Row> => {
  const lines = readFileSync(new URL(`../recordings/${file}`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
  const rows = lines.slice(1).map((line) => JSON.parse(line) as Row)
  return new Map(rows.map((row) => [row.name, row]))
}

/** Recorded from a real Evolution API; the first line of each file says how. */
export const exchanges = read<Exchange>('exchanges.jsonl')
export const webhookRecordings = read<WebhookRecording>('webhooks.jsonl')

/** Ids, times, secrets and addresses: only their type is compared. */
const VARYING = new Set(
  `id instanceId keyId messageId hash token apikey sender server_url date_time code base64 pairingCode
   messageTimestamp timestampMs senderTimestampMs mediaKeyTimestamp ephemeralSettingTimestamp createdAt updatedAt
   disconnectionAt disconnectionObject url directPath fileLength version whatsappWebVersion waveform
   mentionedJid mediaKey fileSha256 fileEncSha256 jpegThumbnail low high seconds height width Message Contact`.split(
    /\s+/,
  ),
)
/** Only whether there is one: how far a count got depends on what was done before. */
const COUNTS = new Set(['count', 'total', 'pages'])
/** The sandbox knows less about files than a phone that looked into them. */
const OPTIONAL = new Set(['jpegThumbnail', 'waveform', 'seconds', 'height', 'width', 'pageCount', 'title'])

/** Where `actual` is not what was recorded; empty when it is. */
export function differences(expected: unknown, actual: unknown, exact = false, path = '$'): string[] {
  if (isBytes(actual)) actual = '<bytes>'
  if (kindOf(expected) !== kindOf(actual)) return [`${path}: ${show(expected)} was recorded, got ${show(actual)}`]
  if (Array.isArray(expected)) return arrayDifferences(expected, actual as unknown[], exact, path)
  if (isObject(expected)) return objectDifferences(expected, actual as Record<string, unknown>, exact, path)
  return expected === actual ? [] : [`${path}: ${show(expected)} was recorded, got ${show(actual)}`]
}

function arrayDifferences(expected: unknown[], actual: unknown[], exact: boolean, path: string): string[] {
  if (expected.length !== actual.length) {
    return [`${path}: ${expected.length} items were recorded, got ${actual.length}`]
  }
  return expected.flatMap((item, index) => differences(item, actual[index], exact, `${path}[${index}]`))
}

function objectDifferences(
  expected: Record<string, unknown>,
  actual: Record<string, unknown>,
  exact: boolean,
  path: string,
): string[] {
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)])
  return [...names].flatMap((name) => {
    const here = `${path}.${name}`
    const [was, is] = [expected[name], actual[name]]
    if (was === undefined || is === undefined) {
      if (OPTIONAL.has(name)) return []
      return [was === undefined ? `${here} is not in the recording: ${show(is)}` : `${here} is missing`]
    }
    if (!exact && COUNTS.has(name)) return (was === 0) === (is === 0) ? [] : [`${here}: ${show(was)}, got ${show(is)}`]
    if (!exact && VARYING.has(name) && !isObject(was)) {
      return isBytes(is) || kindOf(was) === kindOf(is) ? [] : [`${here}: ${show(was)} was recorded, got ${show(is)}`]
    }
    return differences(was, is, exact, here)
  })
}

/**
 * Compares a series of events. Events of one millisecond have no order of their own, and with `anyOrder` none has.
 */
export function seriesDifferences(expected: WebhookEvent[], actual: WebhookEvent[], anyOrder = false): string[] {
  const left = actual.toSorted((a, b) => a.body.date_time.localeCompare(b.body.date_time))
  return expected.flatMap((event) => {
    const first = left[0]
    const candidates = anyOrder ? left : left.filter((other) => other.body.date_time === first?.body.date_time)
    const found = candidates.map((candidate) => ({ candidate, problems: eventDifferences(event, candidate) }))
    const best = found.toSorted((a, b) => a.problems.length - b.problems.length)[0]
    if (!best) return [`${event.body.event} is missing`]
    left.splice(left.indexOf(best.candidate), 1)
    return best.problems
  })
}

function eventDifferences(expected: WebhookEvent, actual: WebhookEvent): string[] {
  const headers = Object.keys(expected.headers).filter((name) => expected.headers[name] !== actual.headers[name])
  return [
    ...(expected.path === actual.path ? [] : [`posted to ${actual.path} instead of ${expected.path}`]),
    ...headers.map((name) => `header ${name}: ${expected.headers[name]}, got ${actual.headers[name]}`),
    ...differences(expected.body, actual.body, false, expected.body.event),
  ]
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Binary members are index maps in Evolution's answers. */
const isBytes = (value: unknown): boolean =>
  isObject(value) && Object.keys(value).length > 3 && Object.keys(value).every((name) => /^\d+$/.test(name))

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)

const show = (value: unknown): string => String(JSON.stringify(value)).slice(0, 200)
