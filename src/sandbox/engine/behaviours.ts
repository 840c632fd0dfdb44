/**
 * What can become of a send. One table for the magic recipients, for recipients taught at run time and for the
 * trouble `send`, so that each of them is played the same way.
 */
export interface Behaviour {
  /** WhatsApp answers that the number has no account. */
  on_whatsapp: boolean
  /** Fails before the write, so nothing is sent. `null`: goes on. */
  refusal: { status: number; message: unknown } | null
  /** What the send waits for before the write, while it holds the instance's lock. */
  wait: 'none' | 'slow' | 'query'
  /** The wait is for the number look-up, before the lock is taken. */
  wait_unlocked: boolean
  /** Row stored and send.message posted after the write. */
  recorded: boolean
  answer: 'created' | 'database_text' | 'html_500' | 'reset' | 'hang'
  receipts: 'read' | 'delivered' | 'none' | 'error' | 'before_answer'
  /** The other side answers with the same text. */
  echo: boolean
  /** The chat is addressed by its privacy id. */
  lid: boolean
  /** The socket ends right after the write and comes back. */
  drops: boolean
  /** WhatsApp gets a stanza nobody can read. */
  unreadable: boolean
  /** The first attempt to upload media to this number fails. */
  first_upload_fails: boolean
}

export const ORDINARY: Behaviour = {
  on_whatsapp: true,
  refusal: null,
  wait: 'none',
  wait_unlocked: false,
  recorded: true,
  answer: 'created',
  receipts: 'read',
  echo: false,
  lid: false,
  drops: false,
  unreadable: false,
  first_upload_fails: false,
}

/** Situations of the engine itself, for the trouble `send`; each was recorded from a real server. */
export const SEND_SITUATIONS = {
  socket_ends_during_number_check: { refusal: { status: 500, message: 'Internal Server Error' } },
  socket_ends_during_key_fetch: { refusal: { status: 400, message: ['1006'] } },
  number_check_times_out: {
    wait: 'query',
    wait_unlocked: true,
    refusal: { status: 500, message: "Cannot read properties of undefined (reading 'find')" },
  },
  key_fetch_times_out: { wait: 'query', refusal: { status: 400, message: ['SessionError: No sessions'] } },
  network_stalls: { wait: 'query', refusal: { status: 400, message: ['Error: Connection Closed'] }, drops: true },
  device_list_times_out: { wait: 'query', unreadable: true, receipts: 'none' },
  socket_ends_on_message: { drops: true, receipts: 'none' },
  row_not_stored: { recorded: false, answer: 'database_text', receipts: 'none' },
  upload_fails: { refusal: { status: 500, message: ['Error: Media upload failed on all hosts'] } },
  timed_out: { answer: 'created', refusal: { status: 400, message: ['Error: Timed Out'] } },
} satisfies Record<string, Partial<Behaviour>>

export type SendSituation = keyof typeof SEND_SITUATIONS

export const isSendSituation = (name: unknown): name is SendSituation =>
  typeof name === 'string' && name in SEND_SITUATIONS
