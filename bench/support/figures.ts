export function median(values: number[]): number {
  return percentile(values, 0.5)
}

export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** One line of the result: what was measured against which bar. */
export interface Row {
  what: string
  measured: string
  bar: string
  /** Undefined where there is no bar. */
  reached?: boolean
}

const PASS = { true: 'reached', false: 'BELOW', undefined: '' }

export function printTable(title: string, rows: Row[]): void {
  const lines = rows.map(({ what, measured, bar, reached }) => [what, measured, bar, PASS[`${reached}`]])
  const widths = [0, 1, 2].map((i) => Math.max(...lines.map((line) => line[i]!.length)))
  console.log(`\n${title}`)
  for (const line of lines)
    console.log(`  ${line.map((cell, i) => (i < 3 ? cell.padEnd(widths[i]!) : cell)).join('  ')}`.trimEnd())
}

export const ratio = (value: number) => `${value.toFixed(2)} ×`
export const perSecond = (value: number) => `${Math.round(value).toLocaleString('en')}/s`
export const micros = (value: number) => `${Math.round(value)} µs`
export const megabytes = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MB`
export const millis = (value: number) => `${value.toFixed(2)} ms`

export function atLeast(what: string, value: number, bar: number, note = ''): Row {
  return { what, measured: `${ratio(value)}${note}`, bar: `≥ ${bar} ×`, reached: value >= bar }
}
