import { randomBytes } from 'node:crypto'
import { INGRESS_HEADER, ingressSecret } from '../../src/services/instances.js'
import { ENGINE_KEY, type TestApp, type TestUser } from './test-app.js'

export interface Seeded {
  id: number
  engine_name: string
}

/** A connected number that no engine knows: for what only the database and the ingress see. */
export async function seedNumber(
  app: Pick<TestApp, 'db'>,
  user: { id: number },
  server = 'sandbox-1',
): Promise<Seeded> {
  const instance = `user_${user.id}_${Date.now()}_${randomBytes(4).toString('hex')}`
  const { rows } = await app.db.query<{ id: number }>(
    `with p as (
       insert into phone_numbers (user_id, server_instance, instance_name, token, display_name, status, first_connected_at)
       values ($1, $3, $2, $2 || '_token', 'Seeded', 'connected', now() - interval '1 day') returning id),
     l as (insert into lanes (phone_number_id) select id from p)
     select id from p`,
    [user.id, instance, server],
  )
  return { id: rows[0]!.id, engine_name: `${instance}_g1` }
}

/** The body of an incoming text as the engine posts it. */
export function incomingText(engineName: string, text: string, id = randomBytes(10).toString('hex').toUpperCase()) {
  return {
    event: 'messages.upsert',
    instance: engineName,
    data: {
      key: { remoteJid: '628111222333@s.whatsapp.net', fromMe: false, id, participant: '', addressingMode: 'pn' },
      pushName: 'Budi',
      status: 'DELIVERY_ACK',
      message: { conversation: text },
      messageType: 'conversation',
      messageTimestamp: Math.floor(Date.now() / 1000),
      instanceId: 'an-instance',
      source: 'android',
    },
    destination: 'http://here',
    date_time: new Date().toISOString(),
    server_url: 'http://engine',
    apikey: 'KEY-OF-THE-INSTANCE',
  }
}

/** A text has come in, and the engine's word of it is committed. */
export async function happens(app: { url: string }, { engine_name }: Seeded, text: string): Promise<void> {
  expect(await tell(app.url, engine_name, incomingText(engine_name, text))).toBe(200)
}

/** Posts an event as the engine does; answers the status. */
export async function tell(url: string, engineName: string, body: unknown, headers?: Record<string, string>) {
  const answer = await fetch(`${url}/internal/evolution/${engineName}`, {
    method: 'POST',
    headers: headers ?? { 'content-type': 'application/json', [INGRESS_HEADER]: ingressSecret(ENGINE_KEY, engineName) },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  await answer.arrayBuffer()
  return answer.status
}

export async function createWebhook(user: TestUser, body: object): Promise<{ id: number; secret: string }> {
  const answer = await user.post('/api/webhooks', body)
  if (answer.status !== 201) throw new Error(`webhook answered ${answer.status}: ${answer.text}`)
  return answer.body.webhook as { id: number; secret: string }
}

/** A clock that stands still until it is moved; from then on it counts for the app. */
export function stopClock(app: Pick<TestApp, 'ctx'>) {
  // Ahead, so that what the database stamps with its own time is due, and less than verifiers of signatures allow.
  let now = Date.now() + 240_000
  app.ctx.clock.now = () => new Date(now)
  return {
    get now() {
      return new Date(now)
    },
    to: (moment: Date | number) => (now = Number(moment)),
    by: (ms: number) => (now += ms),
    go: () => (app.ctx.clock.now = () => new Date()),
  }
}
