interface Place {
  user_id: number
  bytes: number
}

interface Turn {
  /** Resolves when there is room, with what makes room again; that may be called more than once. */
  inside: Promise<() => void>
  /** Out of the line; whoever is inside already stays there. */
  giveUp: () => void
}

/**
 * For what is large: lets in what fits beside what is inside, in the order they came, and of each user no more than half.
 * What is larger than that is let in when the user has nothing else inside, what is larger than the room when it is empty.
 */
export class ByteRoom {
  private inside = 0
  private readonly own = new Map<number, number>()
  private line: (Place & { enter: () => void })[] = []

  constructor(private readonly bytes: number) {}

  /** How many stand in line. */
  get depth(): number {
    return this.line.length
  }

  depthOf(userId: number): number {
    return this.line.filter(({ user_id }) => user_id === userId).length
  }

  enter(place: Place): Turn {
    let enter!: () => void
    const inside = new Promise<() => void>((resolve) => (enter = () => resolve(this.take(place))))
    const waiting = { ...place, enter }
    this.line.push(waiting)
    this.letIn()
    return {
      inside,
      giveUp: () => {
        this.line = this.line.filter((one) => one !== waiting)
        this.letIn()
      },
    }
  }

  private take(place: Place): () => void {
    this.count(place, 1)
    let left = false
    return () => {
      if (left) return
      left = true
      this.count(place, -1)
      this.letIn()
    }
  }

  private count({ user_id, bytes }: Place, sign: 1 | -1) {
    this.inside += sign * bytes
    const own = (this.own.get(user_id) ?? 0) + sign * bytes
    if (own > 0) this.own.set(user_id, own)
    else this.own.delete(user_id)
  }

  /**
   * Users who have enough are passed by, with all they have in line. Who does not fit yet is waited for: small ones would
   * pass a large one for ever.
   */
  private letIn() {
    const [waiting, passed] = [this.line, [] as typeof this.line]
    const full = new Set<number>()
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const own = this.own.get(next.user_id) ?? 0
      if (own > 0 && own + next.bytes > this.bytes / 2) full.add(next.user_id)
      if (full.has(next.user_id)) passed.push(next)
      else if (this.inside > 0 && this.inside + next.bytes > this.bytes) {
        waiting.unshift(next)
        break
      } else next.enter()
    }
    this.line = [...passed, ...waiting]
  }
}
