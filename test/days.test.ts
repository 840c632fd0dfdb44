import { jest } from '@jest/globals'
import { dayIn, nextMidnight } from '../src/services/days.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterEach(() => void jest.useRealTimers())
afterAll(() => app.stop())

/** Only the date moves; timers, sockets and the database keep their own time. */
async function itIsNow(now: Date) {
  const doNotFake = ['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const
  const timers = ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const
  jest.useFakeTimers({ now, doNotFake: [...doNotFake, ...timers] })
  await app.ctx.membership.beat()
}

async function userIn(zone: string) {
  const user = await app.createUser()
  await app.db.query('update users set time_zone = $2, max_messages_per_day = 1 where id = $1', [user.id, zone])
  const phone = await app.connectedNumber(user)
  const send = async () =>
    (await user.post('/api/messages/send-text', { token: phone.token, number: '628000000003', text: 'Hi' })).status
  return { ...user, send }
}

it('end at midnight where the user lives: quota and statistics turn over in Jakarta first, in São Paulo later', async () => {
  const jakarta = await userIn('Asia/Jakarta')
  const saoPaulo = await userIn('America/Sao_Paulo')
  const midnightThere = nextMidnight('Asia/Jakarta', new Date())
  const midnightHere = nextMidnight('America/Sao_Paulo', midnightThere)
  const before = (moment: Date) => new Date(moment.getTime() - 1)

  await itIsNow(before(midnightThere))
  expect([await jakarta.send(), await saoPaulo.send()]).toEqual([200, 200])
  expect([await jakarta.send(), await saoPaulo.send()]).toEqual([429, 429])
  const refused = await jakarta.get('/api/dashboard')
  expect(refused.body.dashboard.usage_today).toMatchObject({ used: 1, resets_at: midnightThere.toISOString() })

  await itIsNow(midnightThere)
  expect([await jakarta.send(), await saoPaulo.send()]).toEqual([200, 429])
  await itIsNow(before(midnightHere))
  expect([await jakarta.send(), await saoPaulo.send()]).toEqual([429, 429])
  await itIsNow(midnightHere)
  expect([await jakarta.send(), await saoPaulo.send()]).toEqual([429, 200])

  jest.useRealTimers()
  const day = (zone: string, moment: Date) => dayIn(zone, moment)
  const { rows } = await app.db.query(
    `select u.time_zone, d.day, d.used from daily_usage d join users u on u.id = d.user_id order by u.id, d.day`,
  )
  expect(rows).toEqual([
    { time_zone: 'Asia/Jakarta', day: day('Asia/Jakarta', before(midnightThere)), used: 1 },
    { time_zone: 'Asia/Jakarta', day: day('Asia/Jakarta', midnightThere), used: 1 },
    { time_zone: 'America/Sao_Paulo', day: day('America/Sao_Paulo', before(midnightThere)), used: 1 },
    { time_zone: 'America/Sao_Paulo', day: day('America/Sao_Paulo', midnightHere), used: 1 },
  ])
})

it('are counted where the user lives: the same moment is another day in Kiritimati than in Pago Pago', async () => {
  const east = await userIn('Pacific/Kiritimati')
  const west = await userIn('Pacific/Pago_Pago')
  expect([await east.send(), await west.send()]).toEqual([200, 200])
  const now = new Date()
  const today = async ({ id }: { id: number }) => {
    const { rows } = await app.db.query(
      'select messages_sent_today from phone_number_details where user_id = $1 union all select messages_sent_today from user_dashboard where user_id = $1',
      [id],
    )
    return rows.map((row) => Number(row.messages_sent_today))
  }
  expect(await today(east)).toEqual([1, 1])
  expect(await today(west)).toEqual([1, 1])
  const { rows } = await app.db.query(
    'select s.date from message_stats s join phone_numbers p on p.id = s.phone_number_id where p.user_id = any($1) order by p.user_id',
    [[east.id, west.id]],
  )
  expect(rows).toEqual([{ date: dayIn('Pacific/Kiritimati', now) }, { date: dayIn('Pacific/Pago_Pago', now) }])
  expect(rows[0]!.date).not.toBe(rows[1]!.date)
})
