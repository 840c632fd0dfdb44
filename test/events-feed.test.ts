import { findHolder } from '../src/db/api-keys.js'
import { migrate } from '../src/db/migrate.js'
import { EventFeed } from '../src/services/event-feed.js'
import { FeedWatch } from '../src/services/feed-watch.js'
import { sha256 } from '../src/services/sha256.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { type Seeded, happens, incomingText, seedNumber, tell } from './support/webhook-stage.js'

let app: TestApp
let user: TestUser
let phone: Seeded
beforeAll(async () => {
  app = await startTestApp({ servers: 1 })
})
afterAll(() => app.stop())
beforeEach(async () => {
  user = await app.createUser()
  phone = await seedNumber(app, user)
})

const happen = (text: string) => happens(app, phone, text)
interface Told {
  position: number
  data: { message: { content: { text: string } } }
}

const textOf = (event: Told) => event.data.message.content.text
const feed = (query = '', who = user) => who.get(`/api/events${query}`)

/** Reads a stream of server-sent events until it has `count` of them. */
async function readStream(path: string, headers: Record<string, string>, count: number) {
  const leave = new AbortController()
  const answer = await fetch(app.url + path, {
    headers: { 'x-api-key': user.api_key, ...headers },
    signal: leave.signal,
  })
  const events: { id: string; type: string; data: Told }[] = []
  let text = ''
  let last = ''
  for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    text += chunk
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = Object.fromEntries(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => line.split(/: (.*)/s).slice(0, 2)),
      )
      text = text.slice(end + 2)
      if (fields.id) last = fields.id
      if (fields.data) events.push({ id: fields.id, type: fields.event, data: JSON.parse(fields.data) })
    }
    if (events.length >= count && last) break
  }
  leave.abort()
  return { events, last, headers: answer.headers }
}

it('who waits for an event learns of it although hints of other events never pause', async () => {
  const watch = new FeedWatch(app.ctx.db, app.ctx.bus)
  const hints = setInterval(() => app.ctx.bus.tell('deliveries.due', {}), 2)
  const grown = watch.grown(user.id, 0, 3_600_000, new AbortController().signal)
  await happen('at last')
  await grown
  clearInterval(hints)
  watch.close()
})

describe('GET /api/events', () => {
  it('answers the events in order, page by page, each once', async () => {
    for (let n = 0; n < 25; n++) await happen(`${n}`)
    const seen: string[] = []
    let after = ''
    for (let pages = 0; pages < 10; pages++) {
      const page = (await feed(`?limit=10${after && `&after=${after}`}`)).body
      seen.push(...page.events.map(textOf))
      after = page.next_cursor
      if (page.events.length === 0) break
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, n) => `${n}`))
    await happen('later')
    expect((await feed(`?after=${after}`)).body.events.map(textOf)).toEqual(['later'])
  })

  it('holds the same bytes as a delivery', async () => {
    await happen('the same')
    const answer = await feed()
    const { rows } = await app.db.query<{ payload: string }>('select payload::text from events where user_id = $1', [
      user.id,
    ])
    expect(answer.text).toContain(rows[0]!.payload)
    const [{ id }] = answer.body.events
    expect((await user.get(`/api/events/${id}`)).body.event).toEqual(answer.body.events[0])
    expect((await (await app.createUser()).get(`/api/events/${id}`)).status).toBe(404)
  })

  it('goes past events of other types, so that the next page does not read them again', async () => {
    await happen('one')
    const page = (await feed('?types=phone_number.connected,gap')).body
    expect(page.events).toEqual([])
    expect((await feed(`?after=${page.next_cursor}`)).body.events).toEqual([])
  })

  it('answers few large events at a time, and goes on behind them', async () => {
    for (let n = 0; n < 6; n++) await happen(`${n}${'x'.repeat(1_100_000)}`)
    const first = await feed('?types=message.received')
    expect(first.body.events.map(textOf).map((text: string) => text[0])).toEqual(['0', '1', '2', '3'])
    const second = await feed(`?after=${first.body.next_cursor}`)
    expect(second.body.events.map(textOf).map((text: string) => text[0])).toEqual(['4', '5'])
    expect([first.body.expired, second.body.expired]).toEqual([0, 0])
    const streamed = await readStream('/api/events/stream', { 'last-event-id': first.body.next_cursor }, 2)
    expect(streamed.events.map(({ data }) => data.position)).toEqual([5, 6])
  })

  it('waits for an event, and answers as soon as there is one', async () => {
    const { next_cursor } = (await feed('?after=latest')).body
    const waiting = feed(`?after=${next_cursor}&wait=60`).then((answer) => answer) // longer than this test may take
    await eventually(() => app.ctx.feedWatch.size === 1)
    await happen('at last')
    expect((await waiting).body.events.map(textOf)).toEqual(['at last'])
  })

  it('answers an empty page when the time is over', async () => {
    const answer = await feed('?after=latest&wait=0.3')
    expect(answer.body).toMatchObject({ success: true, events: [], expired: 0 })
  })

  it('skips none and repeats none while many commit at the same time', async () => {
    const numbers = [phone, ...(await Promise.all(Array.from({ length: 4 }, () => seedNumber(app, user))))]
    const replica = await app.startReplica({ ROLE: 'api' })
    const writers = numbers.flatMap((number, i) =>
      [app.url, replica.url].map(async (url, j) => {
        for (let n = 0; n < 40; n++)
          await tell(url, number.engine_name, incomingText(number.engine_name, `${i}-${j}-${n}`))
      }),
    )
    let writing = true
    void Promise.all(writers).then(() => (writing = false))
    const seen: number[] = []
    let after = (await feed('?limit=1')).body.next_cursor as string
    const first = (await feed()).body.events[0]
    if (first) seen.push(first.position)
    for (;;) {
      const page = (await feed(`?after=${after}&limit=50`)).body
      after = page.next_cursor
      seen.push(...page.events.map((event: { position: number }) => event.position))
      if (!writing && page.events.length === 0) break
    }
    expect([...new Set(seen)]).toEqual(Array.from({ length: 400 }, (_, n) => n + 1))
    await replica.close()
  })

  it('says how many events between the cursor and now have expired', async () => {
    for (let n = 0; n < 5; n++) await happen(`${n}`)
    const { next_cursor } = (await feed('?limit=1')).body
    await app.db.query('delete from events where user_id = $1 and position <= 4', [user.id])
    const page = (await feed(`?after=${next_cursor}`)).body
    expect(page.expired).toBe(3)
    expect(page.events.map(textOf)).toEqual(['4'])
  })

  it('refuses a cursor of another user, of another list, or of nowhere', async () => {
    await happen('x')
    const other = (await feed('', await app.createUser())).body.next_cursor
    const list = Buffer.from('17').toString('base64url')
    const ahead = Buffer.from(`feed:${user.id}:4711`).toString('base64url')
    for (const cursor of [other, list, ahead, 'nonsense']) {
      const answer = await feed(`?after=${cursor}`)
      expect([answer.status, answer.body.error?.code]).toEqual([400, 'invalid_request'])
    }
    for (const query of ['?types=no.such', '?event_types=no.such', '?limit=0', '?limit=501', '?wait=61', '?wait=x'])
      expect((await feed(query)).status).toBe(400)
    expect((await feed('?types=*')).body.error.message).toContain('Leave it out for all')
  })
})

describe('after a restore', () => {
  /** As if what came after that position was not in the backup, and the database is a new one. */
  async function restoreTo(position: number) {
    await app.db.query('delete from events where user_id = $1 and position > $2', [user.id, position])
    await app.db.query('update feeds set last_position = $2 where user_id = $1', [user.id, position])
    await app.db.query(`update database_identity set identity = 'that of the backup'`)
    await migrate(app.database)
  }

  it('a reader misses nothing that gets a position it has seen already, and reads nothing twice', async () => {
    for (const text of ['one', 'two', 'three', 'lost', 'lost too']) await happen(text)
    const cursorAfter = async (position: number) => (await feed(`?limit=${position}`)).body.next_cursor as string
    const [behind, ahead] = [await cursorAfter(2), await cursorAfter(5)]
    await restoreTo(3)
    for (const text of ['four', 'five', 'six']) await happen(text)
    expect((await feed(`?after=${behind}`)).body.events.map(textOf)).toEqual(['three', 'four', 'five', 'six'])
    const { body } = await feed(`?after=${ahead}`)
    expect([body.events.map(textOf), body.expired]).toEqual([['four', 'five', 'six'], 0])
    const streamed = await readStream('/api/events/stream', { 'last-event-id': ahead }, 3)
    expect(streamed.events.map(({ data }) => data.position)).toEqual([4, 5, 6])
    await happen('seven')
    expect((await feed(`?after=${body.next_cursor}`)).body.events.map(textOf)).toEqual(['seven'])
    await restoreTo(5)
    await happen('another six')
    expect((await feed(`?after=${body.next_cursor}`)).body.events.map(textOf)).toEqual(['another six'])
  })

  it('is told by a start in another database alone', async () => {
    const { next_cursor } = (await feed('?after=latest')).body
    await migrate(app.database)
    expect((await feed('?after=latest')).body.next_cursor).toBe(next_cursor)
  })
})

describe('many who wait', () => {
  it('are fifty per user at most; others, and calls that do not wait, are not concerned', async () => {
    const waiting = Array.from({ length: 50 }, () => feed('?after=latest&wait=60').then((answer) => answer))
    await eventually(() => Promise.resolve(app.ctx.feedWatch.size === 50))
    const refused = await feed('?after=latest&wait=1')
    expect([refused.status, refused.body.error.code, refused.headers['retry-after']]).toEqual([
      429,
      'rate_limited',
      '60',
    ])
    expect((await feed('?after=latest')).status).toBe(200)
    const other = await app.createUser()
    expect((await other.get('/api/events?after=latest&wait=0.1')).status).toBe(200)
    await happen('for all of them')
    for (const { body } of await Promise.all(waiting)) expect(body.events.map(textOf)).toEqual(['for all of them'])
    expect((await feed('?after=latest&wait=0.1')).status).toBe(200)
  })

  it('for a type that seldom comes are not woken by each of the others', async () => {
    let looks = 0
    const watch = Object.assign(Object.create(app.ctx.feedWatch) as FeedWatch, {
      grown: (...args: Parameters<FeedWatch['grown']>) => {
        looks++
        return app.ctx.feedWatch.grown(...args)
      },
    })
    const { user: me } = (await findHolder(app.db, sha256(user.api_key)))!
    const reader = { gone: new AbortController().signal, accessNow: () => Promise.resolve() }
    const query = { types: ['webhook.disabled'], limit: 10, wait: 2, after: 'latest' }
    const waiting = new EventFeed(app.ctx.db, watch).page(me, query, reader)
    for (let n = 0; n < 40; n++) await happen(`unwanted ${n}`)
    expect((await waiting).events).toEqual([])
    expect(looks).toBeLessThanOrEqual(10) // four in a second, however many events there were
  })
})

describe('GET /api/events/stream', () => {
  it('streams what happens, and goes on after Last-Event-ID without a hole', async () => {
    const reading = readStream('/api/events/stream', {}, 2)
    // The stream begins with now: only what happens after it is open is in it.
    await eventually(async () => {
      await happen('knock')
      return Promise.race([reading.then(() => true), new Promise((resolve) => setTimeout(resolve, 50, false))])
    })
    const first = await reading
    expect(first.headers.get('content-type')).toMatch('text/event-stream')
    expect(first.headers.get('x-accel-buffering')).toBe('no')
    expect(first.events[0]).toMatchObject({ type: 'message.received' })
    await happen('in between')
    const second = await readStream('/api/events/stream', { 'last-event-id': first.events.at(-1)!.id }, 1)
    const positions = [...first.events, ...second.events].map(({ data }) => data.position)
    expect(positions).toEqual(Array.from({ length: positions.length }, (_, n) => positions[0]! + n))
  })

  it('names where to go on before anything has happened', async () => {
    const { last } = await readStream('/api/events/stream', {}, 0)
    await happen('after a lost connection')
    expect((await feed(`?after=${last}`)).body.events.map(textOf)).toEqual(['after a lost connection'])
  })

  it('refuses what the list refuses', async () => {
    expect((await user.get('/api/events/stream?types=no.such')).status).toBe(400)
    expect((await user.get('/api/events/stream').set('last-event-id', 'nonsense')).status).toBe(400)
  })

  it('is open twenty times per user at most, and one that ends makes room', async () => {
    const headers = { 'x-api-key': user.api_key }
    const leave = new AbortController()
    const open = (signal?: AbortSignal) => fetch(`${app.url}/api/events/stream`, { headers, signal })
    const first = await open(leave.signal)
    const others = new AbortController()
    const streams = await Promise.all(Array.from({ length: 19 }, () => open(others.signal)))
    expect([first, ...streams].map(({ status }) => status)).toEqual(Array(20).fill(200))
    const refused = await user.get('/api/events/stream')
    expect([refused.status, refused.body.error.code]).toEqual([429, 'rate_limited'])
    expect((await feed()).status).toBe(200)
    leave.abort()
    await eventually(async () => {
      const once = new AbortController()
      const { status } = await open(once.signal)
      once.abort()
      return status === 200
    })
    others.abort()
  })

  it('ends cleanly, like a long poll, when the process stops', async () => {
    const replica = await app.startReplica({ ROLE: 'api' })
    const headers = { 'x-api-key': user.api_key }
    const stream = await fetch(`${replica.url}/api/events/stream`, { headers })
    const poll = fetch(`${replica.url}/api/events?after=latest&wait=60`, { headers })
    await eventually(() => replica.context.feedWatch.size === 2)
    await Promise.all([replica.close(), stream.text(), poll.then((answer) => expect(answer.status).toBe(200))])
  })
})
