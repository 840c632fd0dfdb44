import pg from 'pg'

/**
 * Collects rows that arrive while a batch is being written and writes them together, so that many callers share one
 * commit. Idle, a row is written at once: a lone caller waits for nobody. Reads of hot paths share a query the same way.
 */
export class GroupCommit<Row, Result> {
  private waiting: { row: Row; since: number; resolve: (result: Result) => void; reject: (err: unknown) => void }[] = []
  /** When the oldest row of each batch that is being written came. */
  private readonly writing = new Set<{ since: number }>()
  private writers = 0

  /**
   * `write` gets up to `max_rows` rows and answers with one result per row, in their order; an Error among the
   * results rejects only its own row.
   */
  constructor(
    private readonly write: (rows: Row[]) => Promise<(Result | Error)[]>,
    private readonly options: { max_rows?: number; writers?: number } = {},
  ) {}

  add(row: Row): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ row, since: performance.now(), resolve, reject })
      this.flush()
    })
  }

  /** Rows that wait for a writer: the measure of overload. */
  get depth(): number {
    return this.waiting.length
  }

  /** How long the oldest row has been waiting for its commit, in milliseconds. */
  get age(): number {
    const oldest = Math.min(this.waiting[0]?.since ?? Infinity, ...[...this.writing].map(({ since }) => since))
    return oldest === Infinity ? 0 : performance.now() - oldest
  }

  private flush() {
    if (this.waiting.length === 0 || this.writers >= (this.options.writers ?? 1)) return
    const batch = this.waiting.splice(0, this.options.max_rows ?? 256)
    const oldest = { since: batch[0]!.since }
    this.writing.add(oldest)
    this.writers++
    void this.settle(batch).finally(() => {
      this.writing.delete(oldest)
      this.writers--
      this.flush()
    })
  }

  private async settle(batch: typeof this.waiting) {
    try {
      const results = await this.write(batch.map(({ row }) => row))
      batch.forEach(({ resolve, reject }, i) => {
        const result = results[i]!
        if (result instanceof Error) reject(result)
        else resolve(result)
      })
    } catch (err) {
      // One bad row must not fail its neighbours: each gets its own try. Only where the server said no: after a lost
      // connection the commit may have happened, and writing again would double it.
      if (batch.length > 1 && err instanceof pg.DatabaseError) for (const entry of batch) await this.settle([entry])
      else for (const { reject } of batch) reject(err)
    }
  }
}

/**
 * Several group commits side by side: while the database writes one batch, the next is being made. Rows that must not
 * overtake each other, or that would wait for each other's locks, have the same key and stay in one line.
 */
export class CommitLines<Row, Result> {
  private readonly lines: GroupCommit<Row, Result>[]

  constructor(
    private readonly keyOf: (row: Row) => number,
    write: (rows: Row[]) => Promise<(Result | Error)[]>,
    lines = 2,
  ) {
    this.lines = Array.from({ length: lines }, () => new GroupCommit(write))
  }

  add(row: Row): Promise<Result> {
    return this.lines[this.keyOf(row) % this.lines.length]!.add(row)
  }

  get depth(): number {
    return this.lines.reduce((sum, { depth }) => sum + depth, 0)
  }
}
