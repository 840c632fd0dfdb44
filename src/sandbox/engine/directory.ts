import { MAGIC_GROUP, MAGIC_RECIPIENTS } from '../magic-recipients.js'
import { ORDINARY, type Behaviour } from './behaviours.js'
import { digitsOf, withoutLid } from './jid.js'

/** Who is who on the sandbox's WhatsApp: how each recipient behaves, and which groups there are. */
export class Directory {
  private readonly behaviours = new Map<string, Partial<Behaviour>>(
    MAGIC_RECIPIENTS.map(({ number, behaviour }) => [number, behaviour]),
  )
  private readonly groups = new Map<string, string>([[MAGIC_GROUP.jid, MAGIC_GROUP.name]])
  private readonly uploadsTried = new Set<string>()

  behaviourOf(jid: string): Behaviour {
    return { ...ORDINARY, ...this.behaviours.get(digitsOf(withoutLid(jid))) }
  }

  teach(number: string, behaviour: Partial<Behaviour>): void {
    this.behaviours.set(number, behaviour)
  }

  addGroup(jid: string, name: string): void {
    this.groups.set(jid, name)
  }

  groupName(jid: string): string | undefined {
    return this.groups.get(jid)
  }

  isFirstUpload(jid: string): boolean {
    const first = !this.uploadsTried.has(jid)
    this.uploadsTried.add(jid)
    return first
  }
}
