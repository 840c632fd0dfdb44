type Row = Record<string, unknown>

const MAX_WIDTH = 48

/** An answer for people: lists as tables, single things line by line. */
export function renderAnswer(text: string): string {
  const answer = JSON.parse(text) as Row
  const parts = Object.entries(answer).filter(([name]) => name !== 'success' && name !== 'next_cursor')
  const shown = parts.map(([name, value]) => {
    if (Array.isArray(value)) return value.length === 0 ? `No ${name.replaceAll('_', ' ')}.` : table(value as Row[])
    return typeof value === 'object' && value !== null ? list(value as Row) : `${name}: ${cell(value)}`
  })
  const next = typeof answer.next_cursor === 'string' ? [`More: add --cursor ${answer.next_cursor}`] : []
  return [...shown, ...next].join('\n')
}

function list(row: Row): string {
  const width = Math.max(...Object.keys(row).map((name) => name.length))
  return Object.entries(row)
    .map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`)
    .join('\n')
}

/** Columns in which every row is empty tell nothing. */
function table(rows: Row[]): string {
  const names = Object.keys(rows[0]!).filter((name) => rows.some((row) => cell(row[name]) !== '-'))
  const cells = [names, ...rows.map((row) => names.map((name) => short(cell(row[name]))))]
  const widths = names.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)))
  return cells
    .map((line) =>
      line
        .map((text, i) => text.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  if (typeof value !== 'object') return JSON.stringify(value).replace(/^"|"$/g, '')
  const entries = Object.entries(value)
  return entries.length === 0 ? '-' : entries.map(([name, one]) => `${name}=${cell(one)}`).join(' ')
}

const short = (text: string) => (text.length > MAX_WIDTH ? `${text.slice(0, MAX_WIDTH - 1)}…` : text)
