import type { Dispatcher } from 'undici'

/**
 * One call and its whole answer, as undici's dispatcher tells of it: undici's `request` with its streams costs nearly
 * as much again as the call itself.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  /** Rejects with undici's error when the answer does not come, or not to its end. */
  readonly answer: Promise<{ status: number; text: string }>
  private resolve!: (answer: { status: number; text: string }) => void
  private reject!: (err: Error) => void
  private status = 0
  private readonly chunks: Buffer[] = []

  constructor(dispatcher: Dispatcher, options: Dispatcher.DispatchOptions) {
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    dispatcher.dispatch(options, this)
  }

  onRequestStart(): void {}

  /** The last of them counts: those below 200 announce another. */
  onResponseStart(_controller: unknown, status: number): void {
    this.status = status
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    this.chunks.push(chunk)
  }

  onResponseEnd(): void {
    const bytes = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks)
    this.resolve({ status: this.status, text: bytes.toString('utf8') })
  }

  onResponseError(_controller: unknown, err: Error): void {
    this.reject(err)
  }
}
