import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * An append-only file of JSON lines with one writer. A line is complete or, after a crash, the torn last one,
 * which is cut off at the next start.
 */
export class Journal<Entry> {
  private constructor(private file: number | undefined) {}

  /** Reads every entry back through `apply`, then stands ready to append. */
  static open<Entry>(path: string, apply: (entry: Entry) => void): Journal<Entry> {
    mkdirSync(dirname(path), { recursive: true })
    const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
    const end = bytes.lastIndexOf(0x0a) + 1
    let start = 0
    while (start < end) {
      const newline = bytes.indexOf(0x0a, start)
      apply(JSON.parse(bytes.toString('utf8', start, newline)) as Entry)
      start = newline + 1
    }
    const file = openSync(path, 'a')
    if (end < bytes.length) ftruncateSync(file, end)
    return new Journal<Entry>(file)
  }

  static inMemory<Entry>(): Journal<Entry> {
    return new Journal<Entry>(undefined)
  }

  append(entry: Entry): void {
    if (this.file !== undefined) writeSync(this.file, `${JSON.stringify(entry)}\n`)
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file)
    this.file = undefined
  }
}
