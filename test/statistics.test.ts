import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
const ids: number[] = []
beforeAll(async () => {
  app = await startTestApp()
  user = await app.createUser()
  for (const display_name of ['Sales', 'Support'])
    ids.push((await user.post('/api/phone-numbers/create', { display_name })).body.phone_number.id)
  await app.db.query(
    `insert into message_stats (phone_number_id, date, messages_sent, messages_received, media_sent, media_received)
     values ($1, '2024-01-01', 10, 4, 2, 1), ($1, '2024-01-31', 5, 0, 0, 0), ($2, '2024-01-31', 1, 2, 1, 2),
            ($1, '2024-02-01', 100, 100, 100, 100), ($2, '2023-12-31', 100, 100, 100, 100)`,
    ids,
  )
})
afterAll(() => app.stop())

const statistics = async (query: string, who = user) => (await who.get(`/api/statistics${query}`)).body.statistics
const counts = (messages_sent: number, messages_received: number, media_sent: number, media_received: number) => ({
  messages_sent,
  messages_received,
  media_sent,
  media_received,
})

it('add up a range, its first and last day included, in all, per day and per number', async () => {
  expect(await statistics('?start_date=2024-01-01&end_date=2024-01-31')).toEqual({
    start_date: '2024-01-01',
    end_date: '2024-01-31',
    time_zone: 'Asia/Jakarta',
    totals: counts(16, 6, 3, 3),
    per_day: [
      { date: '2024-01-01', ...counts(10, 4, 2, 1) },
      { date: '2024-01-31', ...counts(6, 2, 1, 2) },
    ],
    per_phone_number: [
      { id: ids[0], display_name: 'Sales', phone_number: null, ...counts(15, 4, 2, 1) },
      { id: ids[1], display_name: 'Support', phone_number: null, ...counts(1, 2, 1, 2) },
    ],
  })
})

it('show one day, and a range without traffic as zeros', async () => {
  expect((await statistics('?start_date=2024-02-01&end_date=2024-02-01')).totals).toEqual(counts(100, 100, 100, 100))
  const empty = await statistics('?start_date=2020-01-01&end_date=2020-12-31')
  expect(empty).toMatchObject({ totals: counts(0, 0, 0, 0), per_day: [] })
  expect(empty.per_phone_number).toMatchObject([counts(0, 0, 0, 0), counts(0, 0, 0, 0)])
})

it('are those of the last 30 days where no day is given', async () => {
  const { start_date, end_date } = await statistics('')
  expect(Date.parse(end_date) - Date.parse(start_date)).toBe(29 * 86_400_000)
  const until = await statistics('?end_date=2024-01-31')
  expect(until).toMatchObject({ start_date: '2024-01-02', totals: counts(6, 2, 1, 2) })
})

it.each([
  ['the range is upside down', '?start_date=2024-02-01&end_date=2024-01-01'],
  ['a day does not exist', '?start_date=2024-02-30'],
  ['a year does not exist', '?start_date=0000-01-01&end_date=0000-01-05'],
  ['a day is written otherwise', '?start_date=31-01-2024'],
  ['a day is given twice', '?start_date=2024-01-01&start_date=2024-01-02'],
  ['the range is longer than ten years', '?start_date=1990-01-01&end_date=2024-01-01'],
])('are refused where %s', async (_what, query) => {
  expectRefusal(await user.get(`/api/statistics${query}`), 400, 'invalid_request')
})

it('belong to one user alone', async () => {
  const stranger = await app.createUser()
  expect(await statistics('?start_date=2024-01-01&end_date=2024-01-31', stranger)).toMatchObject({
    totals: counts(0, 0, 0, 0),
    per_phone_number: [],
  })
})

it('count what is sent and received, files apart, and the dashboard shows the same', async () => {
  const owner = await app.createUser({ plan_type: 'starter' })
  const phone = await app.connectedNumber(owner)
  const base64 = Buffer.from('A text in a file').toString('base64')
  const from = { token: phone.token, number: '628000000003' }
  await owner.post('/api/messages/send-text', { ...from, text: 'One' })
  await owner.post('/api/messages/send-media', { ...from, base64, mediaType: 'document', fileName: 'a.txt' })
  await owner.post('/api/messages/send-text', { ...from, number: '628000000002', text: 'Never sent' })
  phone.controls.incoming(phone.engine_name, { chat: '628111222333', text: 'Hello' })
  const media = { type: 'image', base64, mimetype: 'image/png' }
  phone.controls.incoming(phone.engine_name, { chat: '628111222333', media })
  phone.controls.typed(phone.engine_name, { chat: '628111222333', text: 'From the phone' })
  await eventually(async () => (await statistics('', owner)).totals.messages_received === 2)
  await eventually(async () => (await statistics('', owner)).totals.messages_sent === 3)
  expect((await statistics('', owner)).totals).toEqual(counts(3, 2, 1, 1))

  const { dashboard } = (await owner.get('/api/dashboard')).body
  expect(dashboard).toMatchObject({
    plan: { plan_type: 'starter', max_phone_numbers: 3, max_messages_per_day: 1000 },
    usage_today: { used: 2, limit: 1000, remaining: 998 }, // the phone's own message and the refused one cost nothing
    phone_numbers: { total: 1, by_status: { connected: 1 } },
    last_30_days: { totals: counts(3, 2, 1, 1), per_day: [counts(3, 2, 1, 1)] },
  })
  const resets = Date.parse(dashboard.usage_today.resets_at) - Date.now()
  expect(resets > 0 && resets <= 86_400_000).toBe(true)
  const recent = dashboard.recent_events as { id: string; type: string; phone_number_id: number }[]
  expect(recent.length).toBeGreaterThan(3)
  expect(recent.every(({ id, phone_number_id }) => id.startsWith('evt_') && phone_number_id === phone.id)).toBe(true)
  expect(recent.map(({ type }) => type)).toContain('message.received')
})

it('shows a new user a dashboard of zeros', async () => {
  const { dashboard } = (await (await app.createUser()).get('/api/dashboard')).body
  expect(dashboard).toMatchObject({
    usage_today: { used: 0, remaining: 5000 },
    phone_numbers: { total: 0, by_status: {} },
    last_30_days: { totals: counts(0, 0, 0, 0), per_day: [] },
    recent_events: [],
  })
})
