import { create } from 'qrcode'
import { newPairingCode, newQrText } from './ids.js'
import { pngOf } from './png.js'

/** One QR code; its picture is drawn when somebody wants to see it. */
export class Qr {
  readonly code = newQrText()
  readonly pairingCode: string | null
  private picture: string | undefined

  constructor(
    readonly count: number,
    withPairingCode: boolean,
  ) {
    this.pairingCode = withPairingCode ? newPairingCode() : null
  }

  /** A complete data URI of a PNG, drawn once. */
  get base64(): string {
    this.picture ??= draw(this.code)
    return this.picture
  }

  present(): { pairingCode: string | null; code: string; base64: string; count: number } {
    return { pairingCode: this.pairingCode, code: this.code, base64: this.base64, count: this.count }
  }
}

/** The mask is fixed: comparing all eight is most of the work. The library's own PNGs take ten times as long. */
function draw(code: string): string {
  const { modules } = create(code, { errorCorrectionLevel: 'L', maskPattern: 2 })
  return `data:image/png;base64,${pngOf(modules).toString('base64')}`
}
