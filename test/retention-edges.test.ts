import { type TestApp, type TestUser, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'
import { type Seeded, incomingText, seedNumber, tell } from './support/webhook-stage.js'

const DAY = 86_400_000

let app: TestApp
let sink: WebhookSink
let user: TestUser
let phone: Seeded
// Nobody works here without being asked.
beforeAll(async () => {
  const days = {
    EVENT_DAYS: '30',
    WEBHOOK_LOG_DAYS: '10',
    MESSAGE_BODY_DAYS: '90',
    MESSAGE_DAYS: '365',
    MEDIA_DAYS: '7',
  }
  app = await startTestApp({ env: { ROLE: 'api', ...days }, servers: 1 })
})
afterAll(() => app.stop())
beforeEach(async () => {
  sink = await WebhookSink.start()
  user = await app.createUser()
  phone = await seedNumber(app, user)
})
afterEach(() => sink.stop())

const inDays = (days: number) => new Date(Date.now() + days * DAY)
/** As if so many days had passed. */
const pruneIn = (days: number) => app.crew.pruner.runOnce(inDays(days))

async function happen(text: string) {
  expect(await tell(app.url, phone.engine_name, incomingText(phone.engine_name, text))).toBe(200)
}

it('messages whose ids and ages are in another order lose what they say all the same', async () => {
  for (const text of ['old', 'young', 'old too']) await happen(text)
  const age = (text: string, days: number) =>
    app.db.query(
      `update messages set created_at = now() - make_interval(days => $3) where user_id = $1 and content->>'text' = $2`,
      [user.id, text, days],
    )
  await age('old', 100)
  await age('old too', 100)
  const kept = async () => {
    const { rows } = await app.db.query<{ text: string }>(
      `select content->>'text' as text from messages where user_id = $1 and content <> '{}' order by id`,
      [user.id],
    )
    return rows.map(({ text }) => text)
  }
  await app.crew.pruner.runOnce()
  await pruneIn(91)
  expect(await kept()).toEqual([])
})
