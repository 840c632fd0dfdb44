interface Place {
  user_id: number
  bytes: number
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

  /** Resolves when there is room, with what makes room again, which may be called more than once. */
  enter(place: Place): Promise<() => void> {
    return new Promise((resolve) => {
      this.line.push({ ...place, enter: () => resolve(this.take(place)) })
      this.letIn()
    })
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

  /** Who has enough is passed by; who does not fit yet is waited for, or small ones would pass a large one for ever. */
  private letIn() {
    const [waiting, passed] = [this.line, [] as typeof this.line]
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const own = this.own.get(next.user_id) ?? 0
      if (own > 0 && own + next.bytes > this.bytes / 2) passed.push(next)
      else if (this.inside > 0 && this.inside + next.bytes > this.bytes) {
        waiting.unshift(next)
        break
      } else next.enter()
    }
    this.line = [...passed, ...waiting]
  }
}
