import { request } from 'undici'

export interface Notice {
  key: string
  state: 'raised' | 'reminder' | 'cleared'
  message: string
  since: Date
  at: Date
}

const TIMEOUT_MS = 10_000
const SIGNS = { raised: '🔴', reminder: '🟠', cleared: '🟢' }

/** Tells the operator, at an address the operator has chosen: JSON, or a Telegram bot. */
export class AlertChannel {
  constructor(private readonly options: { url: string; from: string }) {}

  /** Throws when it was not taken. */
  async send(notice: Notice): Promise<void> {
    const { url, from } = this.options
    const target = new URL(url)
    const chat = isTelegram(target) ? target.searchParams.get('chat_id') : null
    const body = chat === null ? { from, alert: notice } : { chat_id: chat, text: textOf(notice, from) }
    const { statusCode, body: answer } = await request(chat === null ? url : `${target.origin}${target.pathname}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    })
    await answer.dump()
    // The address holds the bot's token, so it is kept out of the text.
    if (statusCode < 200 || statusCode > 299) throw new Error(`The alert was answered ${statusCode}.`)
  }
}

const isTelegram = ({ hostname, pathname }: URL) =>
  (hostname === 'api.telegram.org' || pathname.startsWith('/bot')) && pathname.endsWith('/sendMessage')

const textOf = ({ state, message, since }: Notice, from: string) =>
  `${SIGNS[state]} ${from}: ${state === 'cleared' ? 'Over: ' : ''}${message}\nSince ${since.toISOString().slice(0, 19).replace('T', ' ')} UTC`
