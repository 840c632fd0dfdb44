import { toDataURL } from 'qrcode'
import { newPairingCode, newQrText } from './ids.js'

/** One QR code; its picture is drawn when somebody wants to see it. */
export class Qr {
  readonly code = newQrText()
  readonly pairingCode: string | null
  private picture: Promise<string> | undefined

  constructor(
    readonly count: number,
    withPairingCode: boolean,
  ) {
    this.pairingCode = withPairingCode ? newPairingCode() : null
  }

  /** A complete data URI of a PNG. */
  base64(): Promise<string> {
    this.picture ??= toDataURL(this.code, { margin: 3, scale: 4, errorCorrectionLevel: 'M' })
    return this.picture
  }

  async present(): Promise<{ pairingCode: string | null; code: string; base64: string; count: number }> {
    return { pairingCode: this.pairingCode, code: this.code, base64: await this.base64(), count: this.count }
  }
}
