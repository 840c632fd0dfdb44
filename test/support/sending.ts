import { type ConnectedNumber, type TestApp, type TestUser, eventually } from './test-app.js'

/** Sent and never acknowledged: nothing happens to it by itself. */
export const QUIET = '628000000003'

export interface MessageView {
  id: number
  status: string
  recipient: string
  whatsapp_id: string | null
  warning: string | null
  error: { code: string; message: string } | null
  history: { status: string; at: string; code?: string }[]
  send_at: string | null
}

/** What stories about sending keep doing with one number of one user. */
export function senderOf(app: TestApp, user: TestUser, phone: ConnectedNumber) {
  const show = async (id: number) => (await user.get(`/api/messages/${id}`)).body.message as MessageView
  const lane = (change: string) => app.db.query(`update lanes set ${change} where phone_number_id = $1`, [phone.id])
  return {
    text: (number: string, text: string, fields: object = {}, query = '') =>
      user.post(`/api/messages/send-text${query}`, { token: phone.token, number, text, ...fields }),
    /** Accepted without a wait; answers the id. */
    queue: async (number: string, text: string, fields: object = {}) => {
      const body = { token: phone.token, number, text, ...fields }
      const answer = await user.post('/api/messages/send-text?wait=0', body)
      if (answer.status !== 200 && answer.status !== 202) throw new Error(`${answer.status}: ${answer.text}`)
      return answer.body.message.id as number
    },
    show,
    becomes: (id: number, ...statuses: string[]) =>
      eventually(async () => {
        const { status } = await show(id)
        if (!statuses.includes(status)) throw new Error(`${id} is ${status} and not ${statuses.join(' or ')}`)
      }),
    used: () => usedToday(user),
    queueState: async () => (await user.get(`/api/phone-numbers/${phone.id}/queue`)).body.queue,
    lane,
    /** Does not wait for the end of the back-off. */
    tryAgain: async () => {
      await lane('due_at = now()')
      await app.ctx.lanes.runDue()
    },
    sentTexts: () => phone.controls.ledger.messagesOf({ instance: phone.engine_name }).map(({ text }) => text),
    timesSent: (number: string, text: string) => phone.controls.ledger.count(phone.engine_name, number, text),
    /** When each send to the engine began and ended, in milliseconds, in the order in which they ended. */
    engineCalls: () =>
      phone.controls
        .requests({ path: `/${encodeURIComponent(phone.engine_name)}`, method: 'POST' })
        .requests.filter(({ path }) => path.startsWith('/message/'))
        .map(({ at, duration_ms, path, body }) => {
          const ended = Date.parse(at)
          return { began: ended - duration_ms, ended, path, body: body as Record<string, unknown> }
        }),
    /** Until every webhook of the engine has been taken. */
    allHeard: () => eventually(() => Promise.resolve(phone.controls.pendingWebhooks === 0)),
  }
}

export type Sender = ReturnType<typeof senderOf>

export async function usedToday(user: TestUser): Promise<number> {
  return (await user.get('/api/dashboard')).body.dashboard.usage_today.used as number
}

/** A user of their own, with a number of their own. */
export async function newSender(app: TestApp) {
  const user = await app.createUser({ plan_type: 'enterprise' })
  await app.db.query('update users set time_zone = $2 where id = $1', [user.id, zoneAtNoon()])
  const phone = await app.connectedNumber(user)
  return { user, phone, ...senderOf(app, user, phone) }
}

/** A time zone in which no day ends during a test: what is counted per day would begin anew. */
export function zoneAtNoon(): string {
  const east = 12 - new Date().getUTCHours()
  return east === 0 ? 'Etc/GMT' : `Etc/GMT${east > 0 ? -east : `+${-east}`}` // the signs of POSIX: west is positive
}

/** The looks of many hours, one after the other. */
export async function lookHarder(app: TestApp, looks: number): Promise<void> {
  for (let hour = 1; hour <= looks; hour++) await app.ctx.reconciliation.runDue(new Date(Date.now() + hour * 3_600_000))
}

/** Events of a user by type, oldest first. */
export async function eventsOf(app: TestApp, user: TestUser, type: string) {
  const { rows } = await app.db.query<{ payload: { type: string; data: Record<string, unknown> } }>(
    'select payload::jsonb from events where user_id = $1 and type = $2 order by position',
    [user.id, type],
  )
  return rows.map(({ payload }) => payload)
}
