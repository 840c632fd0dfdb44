import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePorts } from '../src/embedded/free-ports.js'
import { buildApp } from '../src/app.js'
import { readConfig } from '../src/config.js'
import { settingNames } from '../src/settings.js'
import { AppError, type ErrorCode } from '../src/errors.js'
import { MAGIC_RECIPIENTS } from '../src/sandbox/magic-recipients.js'
import { sampleData } from '../src/services/event-samples.js'
import { DEFAULT_EVENT_TYPES, EVENT_TYPES } from '../src/services/public-events.js'
import { signatureHeaders } from '../src/webhooks/sign.js'
import { routesOf } from './support/routes.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

const ROOT = process.cwd()
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8')

interface Block {
  language: string
  title: string
  code: string
}

/** The fenced blocks of a page; what follows the language on the fence is the title. */
function blocksOf(file: string, language: string): Block[] {
  return [...read(file).matchAll(/^```(\w+) ?(.*)\n([^]*?)^```$/gm)]
    .map(([, language, title, code]) => ({ language: language!, title: title!, code: code! }))
    .filter((block) => block.language === language)
}

const titled = (file: string, language: string) => blocksOf(file, language).filter(({ title }) => title !== '')

/** The rows of tables whose first cell is a `code`. */
const rowsOf = (text: string) =>
  [...text.matchAll(/^\| `([^`]+)` \|(.*)\|$/gm)].map(([, first, rest]) => [
    first!,
    ...rest!.split('|').map((cell) => cell.trim()),
  ])

/** What a caller of ours may put there as it likes. */
const FREE = new Set(['metadata', 'content', 'by_status'])

/** Where two answers differ in their fields or types; null may stand for anything. */
function differences(shown: unknown, real: unknown, at = ''): string[] {
  if (shown === null || real === null) return []
  if (Array.isArray(shown) && Array.isArray(real))
    return shown.slice(0, real.length).flatMap((item, i) => differences(item, real[i], `${at}[${i}]`))
  if (typeof shown !== typeof real || Array.isArray(shown) !== Array.isArray(real)) return [`${at} is another type`]
  if (typeof shown !== 'object') return []
  const [a, b] = [shown as Record<string, unknown>, real as Record<string, unknown>]
  if (FREE.has(at.split('.').at(-1)!)) return []
  const missing = Object.keys(a).filter((key) => !(key in b))
  const unknown = Object.keys(b).filter((key) => !(key in a))
  return [
    ...missing.map((key) => `${at}.${key} is shown but not there`),
    ...unknown.map((key) => `${at}.${key} is there but not shown`),
    ...Object.keys(a).flatMap((key) => (key in b ? differences(a[key], b[key], `${at}.${key}`) : [])),
  ]
}

let app: TestApp
let folder: string
beforeAll(async () => {
  app = await startTestApp({ sandbox: { scan_after_seconds: 2 }, env: { SANDBOX: 'true' } })
  folder = mkdtempSync(path.join(tmpdir(), 'docs-test-'))
})
afterAll(async () => {
  await app.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs the blocks of a page in one bash against our server; any refused call fails it. */
function runPage(file: string): Promise<string> {
  const blocks = blocksOf(file, 'bash').map(({ code }) => code.replaceAll('http://localhost:3000', app.url))
  const strict = 'set -euo pipefail\ncurl() { command curl --fail-with-body -m 30 "$@"; }\n'
  return new Promise((resolve, reject) => {
    const bash = spawn('bash', ['-c', strict + blocks.join('\n')], { cwd: folder, timeout: 30_000 })
    let output = ''
    for (const stream of [bash.stdout, bash.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    bash.on('error', reject)
    bash.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${file} ended with ${code}:\n${output}`)),
    )
  })
}

describe('the examples', () => {
  it('of the README work as they are written', async () => {
    const output = await runPage('README.md')
    expect(output).toContain('"status":"sent"')
    expect(output).toContain('"type":"image"')
    expect(output).toContain('"webhook_secret":"whsec_')
  })

  it('of docs/api.md work as they are written', async () => {
    const output = await runPage('docs/api.md')
    const [, first, second] = /"id":(\d+)\n"id":(\d+)/.exec(output)!
    expect(second).toBe(first)
    expect(output).toContain('"status":"canceled"')
    expect(output).toContain('Phone number deleted')
  })

  it('are the same in both languages', () => {
    for (const language of ['bash', 'sh', 'js', 'sql']) {
      const [english, indonesian] = ['README.md', 'README.id.md'].map((file) =>
        blocksOf(file, language).map(({ code }) => bare(code)),
      )
      expect(indonesian).toEqual(english)
    }
    const headings = (file: string) => read(file).match(/^## /gm)!.length
    expect(headings('README.id.md')).toBe(headings('README.md'))
  })

  it('include a receiver that takes an event once and refuses what we did not sign', async () => {
    const port = await freePorts(1)
    const user = await app.createUser()
    const phone = await app.connectedNumber(user, { webhook_url: `http://127.0.0.1:${port}/webhook` })
    const code = blocksOf('README.md', 'js')[0]!.code.replace('4000', String(port))
    const env = { ...process.env, WEBHOOK_SECRET: phone.webhook_secret }
    const receiver = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: ROOT, env })
    let printed = ''
    receiver.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
    try {
      await eventually(
        async () => (await fetch(`http://127.0.0.1:${port}/webhook`, { method: 'POST', body: '{}' })).status === 401,
      )
      await user.post('/api/messages/send-text', { token: phone.token, number: '628000000001', text: 'once' })
      await eventually(() => Promise.resolve(printed.includes('Echo: once')))
      expect(printed.match(/Echo: once/g)).toHaveLength(1)
    } finally {
      receiver.kill()
    }
  })
})

/** Code without its comments and its texts for people. */
const bare = (code: string) =>
  code.replace(/ *(#|\/\/) .*$/gm, '').replace(/"(text|caption|display_name|full_name)":"[^"]*"/g, '"$1"')

describe('docs/api.md', () => {
  it('shows every answer with exactly the fields it has', async () => {
    const real = await answers(app)
    const shown = titled('docs/api.md', 'json')
    expect(shown.map(({ title }) => title).sort()).toEqual([...real.keys()].sort())
    const wrong = shown.flatMap(({ title, code }) =>
      differences(JSON.parse(code), real.get(title)).map((what) => `${title}: ${what}`),
    )
    expect(wrong).toEqual([])
  })

  it('names every call there is', () => {
    const routes = routesOf(buildApp(app.ctx)).filter(({ path }) => /^\/api\/(?!v1|admin)/.test(path))
    const calls = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
    expect(calls.length).toBeGreaterThan(12)
    const page = read('docs/api.md')
    expect(calls.filter((call) => !page.includes(call))).toEqual([])
  })

  it('has every error code with its status', () => {
    const codes = [...read('src/errors.ts').matchAll(/^ {2}(\w+): \d{3},$/gm)].map(([, code]) => code!)
    const section = read('docs/api.md').split('### Errors')[1]!.split('### Limits')[0]!
    const told = rowsOf(section).map(([code, status]) => `${code} ${status}`)
    expect(told).toEqual(codes.map((code) => `${code} ${new AppError(code as ErrorCode, '').status}`))
  })

  it('has every magic recipient as the sandbox plays it', () => {
    const section = read('docs/api.md').split('## Magic recipients')[1]!
    const told = rowsOf(section).filter(([number]) => /^\d+$/.test(number!))
    expect(told.map(([number, name, what]) => ({ number, name, what }))).toEqual(
      MAGIC_RECIPIENTS.map(({ number, name, what_happens }) => ({ number, name, what: what_happens })),
    )
  })
})

describe('docs/webhooks.md', () => {
  it('lists every event type, and which of them are delivered', () => {
    const section = read('docs/webhooks.md').split('## Which events come')[1]!.split('## The events')[0]!
    const rows = rowsOf(section)
    expect(rows.map(([type]) => type)).toEqual([...EVENT_TYPES])
    expect(rows.filter((row) => row.at(-1) === 'yes').map(([type]) => type)).toEqual(DEFAULT_EVENT_TYPES)
  })

  it('shows every event with exactly the fields it has', async () => {
    const shown = titled('docs/webhooks.md', 'json')
    expect(shown.map(({ title }) => title)).toEqual([...EVENT_TYPES])
    const user = await causeEverything(app)
    const { rows } = await app.db.query<{ type: string; payload: unknown }>(
      'select distinct on (type) type, payload::jsonb from events where user_id = $1 order by type, position',
      [user.id],
    )
    const real = new Map(rows.map(({ type, payload }) => [type, payload as Record<string, unknown>]))
    // It takes an engine that is away for long; its own test causes it.
    real.set('gap', { ...real.get('phone_number.connected'), data: sampleData('gap') })
    expect([...real.keys()].sort()).toEqual([...EVENT_TYPES].sort())
    const wrong = shown.flatMap(({ title, code }) =>
      differences(JSON.parse(code), real.get(title)).map((what) => `${title}: ${what}`),
    )
    expect(wrong).toEqual([])
  })

  const secret = `whsec_${Buffer.from('a key of thirty-two bytes, so so').toString('base64')}`
  const body = '{"text":"héllo 👋"}'
  const headers = signatureHeaders({ id: 'evt_1', timestamp: new Date(), body, secrets: [secret] })
  const text = (value: unknown) => JSON.stringify(JSON.stringify(value))
  const runs: Record<string, { program: string; flags: string[]; code: (snippet: string, body: string) => string }> = {
    js: {
      program: process.execPath,
      flags: ['--input-type=module', '-e'],
      code: (snippet, given) => `${snippet.replace('export ', '')}
        try { verify('${secret}', JSON.parse(${text(headers)}), JSON.parse(${text(given)})); console.log('genuine') }
        catch { console.log('forged') }`,
    },
    python: {
      program: 'python3',
      flags: ['-c'],
      code: (snippet, given) => `import json
${snippet}
right = verify("${secret}", json.loads(${text(headers)}), json.loads(${text(given)}).encode())
print("genuine" if right else "forged")`,
    },
    php: {
      program: 'php',
      flags: ['-r'],
      code: (snippet, given) => `${snippet.replace('<?php', '')}
        $right = verify('${secret}', json_decode(${text(headers)}, true), json_decode(${text(given)}));
        echo $right ? 'genuine' : 'forged';`,
    },
  }
  for (const [language, { program, flags, code }] of Object.entries(runs)) {
    const test = isThere(program) ? it : it.skip
    test(`verifies in ${language} what we signed, and nothing else`, () => {
      const [snippet] = titled('docs/webhooks.md', language)
      const verdictOn = (given: string) =>
        execFileSync(program, [...flags, code(snippet!.code, given)], { cwd: ROOT, encoding: 'utf8' }).trim()
      expect(verdictOn(body)).toBe('genuine')
      expect(verdictOn(body.replace('h', 'j'))).toBe('forged')
    })
  }
})

describe('.env.example', () => {
  const text = read('.env.example')
  const lines = [...text.matchAll(/^(#?)([A-Z][A-Z_0-9]*)=(.*)$/gm)].map(([, mark, name, value]) => ({
    mark,
    name: name!,
    value: value!,
  }))

  it('has every setting once, in the order of the schema', () => {
    expect(lines.map(({ name }) => name)).toEqual(settingNames)
  })

  it('shows the value each setting has when it is missing', () => {
    const needed = { EVOLUTION_API_KEY: 'k'.repeat(32), JWT_SECRET: 'j'.repeat(32), SERVER_URL: 'http://localhost' }
    const shown = Object.fromEntries(lines.filter(({ mark }) => mark === '').map(({ name, value }) => [name, value]))
    expect(readConfig({ ...shown, ...needed })).toEqual(readConfig(needed))
    expect(lines.filter(({ mark, value }) => mark === '#' && value !== '')).toEqual([])
  })

  it('explains each setting, and is read alike by node and docker compose', () => {
    for (const { mark, name, value } of lines) {
      expect(value).not.toMatch(/["'#$]|^\s|\s$|\s\s/)
      const before = text
        .slice(0, text.search(new RegExp(`^${mark}${name}=`, 'm')))
        .trimEnd()
        .split('\n')
        .at(-1)!
      expect(before).toMatch(/^# |^DB_PORT=|^#DB_HOST=|^EXPIRY_WARNING_DAYS=/)
    }
  })
})

describe('the pages', () => {
  const pages = [
    'README.md',
    'README.id.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    ...pagesIn('docs'),
    ...pagesIn('docs/adr'),
  ]

  it.each(pages)('%s has links that lead somewhere', (page) => {
    const text = read(page).replace(/^```[^]*?^```$/gm, '')
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target]) => target!)
      .filter((target) => !/^https?:/.test(target))
    const broken = targets.filter((target) => {
      const [file, anchor] = target.split('#')
      const found = file === '' ? page : path.join(path.dirname(page), file!)
      if (!existsSync(path.join(ROOT, found))) return true
      return anchor !== undefined && !anchorsOf(found).has(anchor)
    })
    expect(broken).toEqual([])
  })

  it('keep decisions to 40 lines', () => {
    expect(pagesIn('docs/adr').filter((page) => read(page).trimEnd().split('\n').length > 40)).toEqual([])
  })
})

function pagesIn(directory: string): string[] {
  return readdirSync(path.join(ROOT, directory))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${directory}/${name}`)
}

/** As GitHub makes them from headings. */
function anchorsOf(page: string): Set<string> {
  const headings = read(page)
    .replace(/^```[^]*?^```$/gm, '')
    .matchAll(/^#+ (.+)$/gm)
  return new Set(
    [...headings].map(([, text]) =>
      text!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  )
}

function isThere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** One real answer for each that docs/api.md shows, under the title it has there. */
async function answers({ createUser, connectedNumber, api, url }: TestApp) {
  const real = new Map<string, unknown>()
  const keep: Keep = (title, { status, body }) => {
    real.set(`${title} ${status}`, body)
    return body as Record<string, Record<string, never>>
  }
  const password = 'SecurePass123!'
  const email = `docs-${Math.random().toString(36).slice(2)}@example.com`
  keep('POST /api/auth/register', await api.post('/api/auth/register').send({ email, password, full_name: 'John Doe' }))
  keep('POST /api/auth/login', await api.post('/api/auth/login').send({ email, password }))
  const user = await createUser()
  await answersAboutUser(user, await createUser(), keep)
  keep('GET /api/user/profile', await user.get('/api/user/profile'))
  const spare = await createUser()
  keep('POST /api/user/api-key/rotate', await spare.post('/api/user/api-key/rotate'))
  const create = '/api/phone-numbers/create'
  keep('error', await user.post(create, {}))
  const made = keep(
    `POST ${create}`,
    await user.post(create, { display_name: 'x', webhook_url: 'http://localhost:4000/' }),
  )
  const unlinked = `/api/phone-numbers/${made.phone_number!.id}`
  keep('GET /api/phone-numbers/{id}/qr', await user.get(`${unlinked}/qr?wait=10`))
  const phone_number = '0812 3456 7890'
  keep('POST /api/phone-numbers/{id}/pairing-code', await user.post(`${unlinked}/pairing-code`, { phone_number }))
  keep('DELETE /api/phone-numbers/{id}', await user.delete(unlinked))

  const phone = await connectedNumber(user)
  keep('GET /api/phone-numbers', await user.get('/api/phone-numbers'))
  keep('GET /api/phone-numbers/{id}/status', await user.get(`/api/phone-numbers/${phone.id}/status`))
  keep('GET /api/phone-numbers/{id}/history', await user.get(`/api/phone-numbers/${phone.id}/history`))
  keep('POST /api/phone-numbers/{id}/link', await user.post(`/api/phone-numbers/${phone.id}/link`))
  await answersAboutEvents(user, phone.id, keep)
  const text = (number: string) => ({ token: phone.token, number, text: 'Hello' })
  const sent = keep('POST /api/messages/send-text', await user.post('/api/messages/send-text', text('628000000001')))
  keep('POST /api/messages/send-text', await user.post('/api/messages/send-text', text('628000000002')))
  keep('POST /api/messages/send-text', await user.post('/api/messages/send-text?wait=0', text('628000000012')))
  keep('GET /api/messages/{id}', await user.get(`/api/messages/${sent.message!.id}`))
  const media = { token: phone.token, number: '628000000001', mediaType: 'image', mediaUrl: `${url}/samples/image.jpg` }
  keep('POST /api/messages/send-media', await user.post('/api/messages/send-media', { ...media, caption: 'Hi' }))
  const messages = [
    { number: '628000000010', text: 'Hi' },
    { number: '12', text: 'Hi' },
  ]
  keep('POST /api/messages/bulk', await user.post('/api/messages/bulk', { token: phone.token, messages }))
  keep('GET /api/phone-numbers/{id}/queue', await user.get(`/api/phone-numbers/${phone.id}/queue`))
  const numbers = ['628000000001', '628000000002']
  keep('POST /api/contacts/check', await user.post('/api/contacts/check', { token: phone.token, numbers }))
  keep('GET /api/statistics', await user.get('/api/statistics'))
  keep('GET /api/dashboard', await user.get('/api/dashboard'))
  keep('GET /health', await api.get('/health'))
  return real
}

type Keep = (title: string, answer: { status: number; body: unknown }) => Record<string, Record<string, never>>

async function answersAboutUser(user: TestUser, leaver: TestUser, keep: Keep) {
  keep('POST /api/api-keys', await user.post('/api/api-keys', { name: 'web shop', scopes: ['send', 'read'] }))
  const passwords = { old_password: leaver.password, new_password: 'SecurePass456!' }
  keep('POST /api/user/password', await leaver.post('/api/user/password', passwords))
  keep('DELETE /api/user', await leaver.delete('/api/user').send({ password: passwords.new_password }))
  await eventually(async () => (await user.get('/api/requests')).body.requests.length > 0)
  keep('GET /api/requests', await user.get('/api/requests'))
}

async function answersAboutEvents(user: TestUser, phoneId: number, keep: Keep) {
  const nobody = `http://127.0.0.1:${await freePorts(1)}/`
  const given = { url: nobody, event_types: 'phone_number.connected', headers: { authorization: 'x' } }
  const { webhook } = keep('POST /api/webhooks', await user.post('/api/webhooks', given))
  const path = `/api/webhooks/${webhook!.id}`
  keep('POST /api/webhooks/{id}/test', await user.post(`${path}/test`, { event_type: 'message.status' }))
  keep('POST /api/webhooks/{id}/redeliver', await user.post(`${path}/redeliver`))
  // It happened before this webhook was made.
  const missed = (await user.post(`${path}/redeliver`, { status: 'missing' })).body as { redelivered: number }
  expect(missed.redelivered).toBe(1)
  const list = () => user.get(`${path}/deliveries`)
  await eventually(async () => (await list()).body.deliveries[0].attempt_count > 0)
  const { deliveries } = keep('GET /api/webhooks/{id}/deliveries', await list()) as unknown as {
    deliveries: { id: number; phone_number_id: number }[]
  }
  expect(deliveries[0]!.phone_number_id).toBe(phoneId)
  keep('GET /api/deliveries/{id}', await user.get(`/api/deliveries/${deliveries[0]!.id}`))
  keep('GET /api/events', await user.get('/api/events?types=phone_number.connected'))
}

/** A user to whom everything happened that there is an event for. */
async function causeEverything({ createUser, connectedNumber, sandboxOf, ctx, db }: TestApp): Promise<TestUser> {
  const user = await createUser()
  const phone = await connectedNumber(user, { metadata: { shop: 'A' } })
  const { controls } = sandboxOf(phone.engine_name)
  const send = (number: string, text: string) =>
    user.post('/api/messages/send-text', { token: phone.token, number, text })
  controls.typed(phone.engine_name, { chat: '628123456789', text: 'I will call you' })
  const id = controls.incoming(phone.engine_name, { chat: '628123456789', text: 'One, please' })
  await happened(db, user, 'message.received')
  controls.edit(phone.engine_name, id, 'Two, please')
  controls.revoke(phone.engine_name, id)

  await db.query('update users set max_messages_per_day = 15 where id = $1', [user.id])
  for (let n = 0; n < 10; n++) await send('628000000003', `silent ${n}`)
  await ctx.acknowledgements.measure(new Date(Date.now() + 15 * 60_000))
  for (let n = 0; n < 3; n++) await send('628000000004', `refused ${n}`)
  await happened(db, user, 'phone_number.restricted')
  controls.disconnect(phone.engine_name, 401)
  await happened(db, user, 'phone_number.disconnected')
  await loseReceiver(connectedNumber, sandboxOf, user)
  await db.query(`update users set active_until = now() + interval '1 day' where id = $1`, [user.id])
  await ctx.expiry.runOnce()
  await ctx.expiry.runOnce(new Date(Date.now() + 30 * 86_400_000))
  for (const type of EVENT_TYPES.filter((one) => one !== 'gap')) await happened(db, user, type)
  return user
}

async function loseReceiver(
  connectedNumber: TestApp['connectedNumber'],
  sandboxOf: TestApp['sandboxOf'],
  user: TestUser,
) {
  const sink = await WebhookSink.start()
  sink.replyAlways(410)
  const phone = await connectedNumber(user, { webhook_url: sink.url })
  sandboxOf(phone.engine_name).controls.incoming(phone.engine_name, { chat: '628123456789', text: 'Hello?' })
  await eventually(() => Promise.resolve(sink.received.length > 0))
  await sink.stop()
}

const happened = (db: TestApp['db'], user: TestUser, type: string) =>
  eventually(async () => {
    const { rows } = await db.query('select 1 from events where user_id = $1 and type = $2 limit 1', [user.id, type])
    if (rows.length === 0) throw new Error(`${type} did not happen`)
  })
