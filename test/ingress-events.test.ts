import fc from 'fast-check'
import { INGRESS_HEADER, ingressSecret } from '../src/services/instances.js'
import { webhookRecordings } from './support/recordings.js'
import { ENGINE_KEY, type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { type Seeded, incomingText, seedNumber, tell } from './support/webhook-stage.js'

let app: TestApp
let user: TestUser
let phone: Seeded
beforeAll(async () => {
  app = await startTestApp({ servers: 1 })
  user = await app.createUser()
  phone = await seedNumber(app, user)
})
afterAll(() => app.stop())

const count = async (sql: string, ...values: unknown[]) => (await app.db.query<{ n: number }>(sql, values)).rows[0]!.n
const eventCount = () => count('select count(*) as n from events')
const post = (body: unknown) => tell(app.url, phone.engine_name, body)

describe('repeats', () => {
  it('stores an event once, however often and at how many replicas it comes', async () => {
    const replica = await app.startReplica({ ROLE: 'api' })
    const before = await eventCount()
    const body = JSON.stringify(incomingText(phone.engine_name, 'only once'))
    const statuses = await Promise.all(
      Array.from({ length: 40 }, (_, n) => tell(n % 2 ? app.url : replica.url, phone.engine_name, body)),
    )
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(await eventCount()).toBe(before + 1)
    await replica.close()
  })

  it('tells a message once, also when its webhook comes with other bytes', async () => {
    const before = await eventCount()
    const event = incomingText(phone.engine_name, 'same key', 'SAMEKEY01')
    expect(await post(event)).toBe(200)
    expect(await post({ ...event, date_time: 'another' })).toBe(200)
    expect(await eventCount()).toBe(before + 1)
  })

  it('writes the first of a storm of "connecting" and answers the rest without the database', async () => {
    const keys = () => count('select count(*) as n from ingress_keys')
    const connecting = (n: number) => ({
      event: 'connection.update',
      instance: phone.engine_name,
      data: { instance: phone.engine_name, state: 'connecting', statusReason: 200 },
      date_time: `${n}`,
    })
    const before = await keys()
    const statuses = await Promise.all(Array.from({ length: 60 }, (_, n) => post(connecting(n))))
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(await keys()).toBe(before + 1)
    // Another state came between: the next one counts again.
    const open = { ...connecting(100), data: { instance: phone.engine_name, state: 'open', statusReason: 200 } }
    await post(open)
    await post(connecting(101))
    expect(await keys()).toBe(before + 3)
    await post({ ...open, date_time: 'again' })
  })
})

describe('who may tell (promise 21)', () => {
  it.each([
    ['no secret', {}],
    ['a wrong secret', { [INGRESS_HEADER]: 'a'.repeat(64) }],
    ['an empty secret', { [INGRESS_HEADER]: '' }],
    ['the secret of another instance', { [INGRESS_HEADER]: ingressSecret(ENGINE_KEY, 'user_1_somebody_else_g1') }],
    ['the key of the engine', { [INGRESS_HEADER]: ENGINE_KEY, apikey: ENGINE_KEY }],
  ])('refuses %s and stores nothing', async (_title, headers) => {
    const state = () =>
      count(`select (select count(*) from events) + (select count(*) from messages) + (select count(*) from ingress_keys)
                  + (select count(*) from unprocessed_events) + (select count(*) from deliveries) as n`)
    const before = await state()
    const body = incomingText(phone.engine_name, 'forged')
    expect(await tell(app.url, phone.engine_name, body, { 'content-type': 'application/json', ...headers })).toBe(401)
    expect(await state()).toBe(before)
  })
})

describe('genuine events that are odd', () => {
  it.each([
    ['an unknown instance', 'user_9_unknown_g1', incomingText('user_9_unknown_g1', 'x')],
    ['a name without generation', 'whatever', incomingText('whatever', 'x')],
  ])('of %s are answered 200', async (_title, engineName, body) => {
    expect(await tell(app.url, engineName, body)).toBe(200)
  })

  it.each([
    ['no JSON', '{"event":'],
    ['an array', '[]'],
    ['null', 'null'],
    ['nothing', ''],
    ['a message without a key', { event: 'messages.upsert', data: {} }],
    [
      'an impossible time',
      { ...incomingText('x', 'x'), data: { ...incomingText('x', 'x').data, messageTimestamp: 1e300 } },
    ],
  ])('%s is kept as it came and answered 200', async (_title, body) => {
    const before = await count('select count(*) as n from unprocessed_events')
    const events = await eventCount()
    expect(await post(body)).toBe(200)
    const kept = (await count('select count(*) as n from unprocessed_events')) - before
    expect(kept + (await eventCount()) - events).toBe(1)
  })

  it('over 5 MB leaves a stub without its key, and 200', async () => {
    const event = incomingText(phone.engine_name, 'x'.repeat(6_000_000))
    expect(
      await post(JSON.stringify({ ...event, apikey: 'PRIVATE-KEY' }).replace('{', '{"apikey":"PRIVATE-KEY",')),
    ).toBe(200)
    const { rows } = await app.db.query<{ reason: string; size: number; body: string }>(
      'select reason, size, body from unprocessed_events order by id desc limit 1',
    )
    expect(rows[0]).toMatchObject({ reason: 'too large' })
    expect(rows[0]!.size).toBeGreaterThan(6_000_000)
    expect(rows[0]!.body).not.toContain('PRIVATE-KEY')
  })

  it('are answered 503 while too many wait for the database', async () => {
    const service = app.ctx.ingress as unknown as { bytes: number }
    const before = service.bytes
    service.bytes = 64 * 1024 * 1024
    expect(await post(incomingText(phone.engine_name, 'too many'))).toBe(503)
    service.bytes = before
    expect(await post(incomingText(phone.engine_name, 'fewer'))).toBe(200)
  })
})

describe('fuzzed genuine events (promise 9)', () => {
  const genuine = [...webhookRecordings.values()].flatMap(({ webhooks }) => webhooks.map(({ body }) => body))
  const strange = fc.oneof(
    fc.constantFrom<unknown>(null, '', 0, -1, 1e300, true, [], {}, '\u0000', '\ud800', 'x'.repeat(70_000), '__proto__'),
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.jsonValue(),
  )

  /** Replaces, drops or repeats one member somewhere in an event. */
  function mutate(value: unknown, path: number[], change: unknown, kind: number): unknown {
    if (typeof value !== 'object' || value === null || path.length === 0) return kind === 1 ? undefined : change
    const keys = Object.keys(value)
    if (keys.length === 0) return change
    const key = keys[path[0]! % keys.length]!
    const inner = mutate((value as Record<string, unknown>)[key], path.slice(1), change, kind)
    if (Array.isArray(value)) return value.map((item: unknown, i) => (String(i) === key ? inner : item))
    return kind === 2 ? { ...value, [key]: inner, [`${key}_`]: change } : { ...value, [key]: inner }
  }

  it('get 200 or 503 and nothing else, and leave the server well', async () => {
    const event = fc.tuple(
      fc.constantFrom(...genuine),
      fc.array(fc.nat(30), { minLength: 1, maxLength: 7 }),
      strange,
      fc.nat(2),
    )
    const samples = fc.sample(event, { numRuns: 2_000, seed: 20261122 })
    const answers = new Map<number, number>()
    for (let at = 0; at < samples.length; at += 50) {
      const statuses = await Promise.all(
        samples.slice(at, at + 50).map(([body, path, change, kind], i) => {
          const own = { ...body, instance: phone.engine_name, date_time: `${at + i}` }
          return post(JSON.stringify(mutate(own, path, change, kind)) ?? '')
        }),
      )
      for (const status of statuses) answers.set(status, (answers.get(status) ?? 0) + 1)
    }
    expect([...answers.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([])
    expect(answers.get(200)).toBeGreaterThan(1_900)
    const before = await eventCount()
    expect(await post(incomingText(phone.engine_name, 'still well'))).toBe(200)
    await eventually(async () => (await eventCount()) > before)
  })

  it('with bytes cut, flipped or added get 200 or 503', async () => {
    const bodies = fc.sample(fc.tuple(fc.constantFrom(...genuine), fc.nat(), fc.nat(255), fc.nat(2)), {
      numRuns: 500,
      seed: 9,
    })
    const statuses = new Set<number>()
    for (let at = 0; at < bodies.length; at += 50)
      for (const status of await Promise.all(
        bodies.slice(at, at + 50).map(([body, where, byte, kind]) => {
          const raw = Buffer.from(JSON.stringify(body))
          const position = where % raw.length
          if (kind === 0) return post(raw.subarray(0, position).toString('latin1'))
          raw[position] = byte
          return post(kind === 1 ? raw.toString('latin1') : raw.toString())
        }),
      ))
        statuses.add(status)
    expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([])
  })
})
