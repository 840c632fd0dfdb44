import type { Json } from '../store/records.js'
import type { Instance } from './instance.js'
import { Qr } from './qr.js'
import { Session } from './session.js'
import { Timers } from './timers.js'
import { disconnection, phoneFor } from './whatsapp-account.js'

export type SocketState = 'close' | 'connecting' | 'open'

/** How long a login, the answer to a new socket and the restart after a scan take, in milliseconds. */
const LOGIN_MS = 100
const FIRST_QR_MS = 15
const LOOP_MS = 1000 / 19
/** WhatsApp hands out so many QR references per socket, then ends it. */
const CODES_PER_SOCKET = 6

export interface Profile {
  phone?: string
  name?: string
}

/** The socket to WhatsApp: logging in, QR codes, and every way it ends. */
export class Connection {
  state: SocketState = 'close'
  /** There was a socket since the server started; without one, sends fail differently. */
  started = false
  qr: Qr | undefined
  private codesShown = 0
  private pairingNumber: string | undefined
  private loops = 0
  private readonly timers = new Timers()

  private readonly session: Session

  constructor(private readonly instance: Instance) {
    this.session = new Session(instance.world.database, instance.id, () => this.drop())
  }

  /** Sends can leave. */
  get online(): boolean {
    return this.state === 'open' && !this.instance.troubles.connection_closed
  }

  presentQr(): unknown {
    return this.qr ? this.qr.present() : { count: this.state === 'connecting' ? this.codesShown : 0 }
  }

  /** Starts one more socket; an endless loop of an older one is not ended by it. */
  open(number?: string): void {
    this.started = true
    this.pairingNumber = number ?? this.pairingNumber
    this.connect(this.instance.row.paired ? LOGIN_MS : FIRST_QR_MS)
  }

  /** The phone scans the QR code (or enters the pairing code). */
  scan(profile: Profile = {}): void {
    const { row } = this.instance
    const phone = profile.phone ?? row.number ?? phoneFor(row.id)
    this.instance.update({
      paired: true,
      ownerJid: `${phone}@s.whatsapp.net`,
      profileName: profile.name ?? 'Sandbox',
      profilePicUrl: 'https://pps.example.com/p.jpg',
    })
    this.connect(LOGIN_MS)
  }

  /** The socket was lost: Evolution comes back at once, without a `close` event. */
  drop(after = LOGIN_MS): void {
    this.connect(this.instance.row.paired ? after : FIRST_QR_MS)
  }

  /** Ends the socket and connects again; answers are still given with the old state while it happens. */
  restart(): void {
    this.timers.after(5, () => this.drop(LOGIN_MS / 2))
  }

  /** A final end, decided by WhatsApp: 401 logged out, 402, 403, 406. */
  endForGood(code: number): void {
    if (code === 401) for (let login = 0; login < 2; login++) this.announce('connecting', 200)
    const status = this.forgetSession(code, 'Connection Failure')
    void this.instance.emit('status.instance', status)
    void this.instance.emit('logout.instance', null)
    this.announce('close', code)
  }

  /** Logged out through the API. The order of the events was seen to differ with the state. */
  logout(): void {
    const { state } = this
    const status = this.forgetSession(401, 'Intentional Logout')
    this.instance.deaf = true
    if (state !== 'open') void this.instance.emit('status.instance', status)
    void this.instance.emit('logout.instance', null)
    this.announce('close', 401)
    if (state === 'open') void this.instance.emit('status.instance', status)
  }

  /** The socket ends without a word: the server stops or the instance is removed. */
  stop(): void {
    this.timers.clear()
    this.session.release()
    this.state = 'close'
    this.qr = undefined
    this.loops = 0
  }

  private connect(patience: number): void {
    this.timers.clear()
    this.session.release()
    this.qr = undefined
    this.state = 'connecting'
    if (this.instance.troubles.endless_connecting) {
      this.loops += 1
      for (let loop = 0; loop < this.loops; loop++) this.goRound()
      return
    }
    this.loops = 0
    this.announce('connecting', 200)
    this.timers.after(patience, () => (this.instance.row.paired ? this.loggedIn() : this.showQr()))
  }

  private goRound(): void {
    if (!this.instance.troubles.endless_connecting) {
      this.drop()
      return
    }
    this.state = 'connecting'
    this.announce('connecting', 200)
    this.timers.after(LOOP_MS / 2, () => (this.state = 'close'))
    this.timers.after(LOOP_MS, () => this.goRound())
  }

  private loggedIn(): void {
    const { instance } = this
    this.session.take()
    this.state = 'open'
    instance.wuid = instance.row.ownerJid ?? undefined
    instance.update({
      connectionStatus: 'open',
      disconnectionReasonCode: null,
      disconnectionObject: null,
      disconnectionAt: null,
    })
    this.announce('open', 200)
    instance.emptyInbox()
  }

  private showQr(): void {
    const { settings } = this.instance.world
    const { no_qr, qr_limit } = this.instance.troubles
    if (no_qr) return
    if (this.codesShown >= (qr_limit ? 1 : settings.qr_limit)) {
      this.reachLimit()
      return
    }
    this.codesShown += 1
    if (this.codesShown > 1 && this.codesShown % CODES_PER_SOCKET === 1) this.announce('connecting', 200)
    const first = this.qr === undefined
    this.qr = new Qr(this.codesShown, this.pairingNumber !== undefined)
    if (this.instance.row.connectionStatus !== 'connecting') this.instance.update({ connectionStatus: 'connecting' })
    this.announceQr(this.qr)
    this.timers.after(qr_limit ? LOGIN_MS : settings.qr_rotate_seconds * 1000, () => this.showQr())
    if (first && settings.scan_after_seconds !== null) {
      this.timers.after(settings.scan_after_seconds * 1000, () => this.scan())
    }
  }

  private reachLimit(): void {
    this.stop()
    this.codesShown = 0
    this.announce('refused', 428)
    void this.instance.emit('qrcode.updated', {
      message: 'QR code limit reached, please login again',
      statusCode: 500,
    })
  }

  private announceQr(qr: Qr): void {
    if (!this.instance.listensTo('qrcode.updated')) return
    const { pairingCode, code, base64 } = qr
    void this.instance.emit('qrcode.updated', { qrcode: { instance: this.instance.name, pairingCode, code, base64 } })
  }

  private announce(state: SocketState | 'refused', statusReason: number): void {
    const { wuid, row } = this.instance
    const withProfile = wuid !== undefined && (state === 'open' || state === 'refused')
    const profile = withProfile && { wuid, profileName: row.profileName, profilePictureUrl: row.profilePicUrl }
    void this.instance.emit('connection.update', { instance: this.instance.name, ...profile, state, statusReason })
  }

  private forgetSession(code: number, message: string): Json {
    const reason = disconnection(code, message)
    this.stop()
    this.instance.update({ paired: false, connectionStatus: 'close', ...reason })
    return { instance: this.instance.name, status: 'closed', ...reason }
  }
}
