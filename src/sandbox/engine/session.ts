import type { SandboxDatabase, SessionHolder } from '../store/database.js'

/**
 * The WhatsApp session of an instance, which one socket can hold at a time. When the same session logs in elsewhere
 * (440), Evolution logs in again at once, and so does the other.
 */
export class Session {
  private readonly holder: SessionHolder

  constructor(
    private readonly database: SandboxDatabase,
    private readonly instanceId: string,
    replaced: () => void,
  ) {
    this.holder = { replaced }
  }

  take(): void {
    this.database.sessions.get(this.instanceId)?.replaced()
    this.database.sessions.set(this.instanceId, this.holder)
  }

  release(): void {
    const { sessions } = this.database
    if (sessions.get(this.instanceId) === this.holder) sessions.delete(this.instanceId)
  }
}
