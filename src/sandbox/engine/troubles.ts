import { z } from 'zod'
import { isSendSituation, type SendSituation } from './behaviours.js'

const Seconds = z.union([z.literal(true), z.number().positive()])
const UntilRestart = z.union([z.literal(true), z.literal('until_restart')])

/** What can be wrong with a server, or with one of its instances. Every member is off when missing. */
export const Troubles = z
  .strictObject({
    /** No QR code ever comes; connect answers count 0. */
    no_qr: z.literal(true),
    /** The QR limit is reached with the first code. */
    qr_limit: z.literal(true),
    /** WhatsApp is unreachable: `connecting` 19 times a second for each socket loop. */
    endless_connecting: z.literal(true),
    /** Looks open and sends, but incoming messages are never forwarded. */
    zombie: UntilRestart,
    /** Looks open, every send fails with Connection Closed. */
    connection_closed: UntilRestart,
    /** Plays one of the recorded situations for every send. */
    send: z.custom<SendSituation>(isSendSituation, 'is not a send situation'),
    /** A deleted instance stays for so many seconds (true: until the trouble ends). */
    delete_lingers: Seconds,
    /** Create takes so many milliseconds longer. */
    slow_create_ms: z.number().positive(),
    /** Create works, but is never answered. */
    create_times_out: z.literal(true),
    /** The server has just started and does not know its instances yet. */
    loading: z.literal(true),
    /** Every key is wrong. */
    wrong_key: z.literal(true),
    /** Version 2.4 before somebody activated it. */
    licence_required: z.literal(true),
    /** The server answers 503, or closes every connection. */
    refuse: z.enum(['503', 'close']),
  })
  .partial()

export type Troubles = z.infer<typeof Troubles>

/** The troubles in force, of the whole server and of single instances. */
export class TroubleBoard {
  private server: Troubles = {}
  private readonly instances = new Map<string, Troubles>()

  set(troubles: Troubles, instance?: string): void {
    if (instance === undefined) this.server = { ...this.server, ...troubles }
    else this.instances.set(instance, { ...this.instances.get(instance), ...troubles })
  }

  /** Without an instance: everything is well again everywhere. */
  clear(instance?: string): void {
    if (instance === undefined) {
      this.server = {}
      this.instances.clear()
    } else this.instances.delete(instance)
  }

  of(instance?: string): Troubles {
    const own = instance === undefined ? undefined : this.instances.get(instance)
    return own ? { ...this.server, ...own } : this.server
  }

  /** A restart of the instance cures what was set with "until_restart". */
  instanceRestarted(instance: string): void {
    const own = this.instances.get(instance)
    if (own?.zombie === 'until_restart') delete own.zombie
    if (own?.connection_closed === 'until_restart') delete own.connection_closed
  }

  list(): { server: Troubles; instances: Record<string, Troubles> } {
    return { server: this.server, instances: Object.fromEntries(this.instances) }
  }
}
