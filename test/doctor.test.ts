import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { examine } from '../src/services/doctor.js'
import { CHECKOUT } from './support/launcher.js'
import { ENGINE_KEY, JWT_SECRET, type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
let healthy: Record<string, string>
beforeAll(async () => {
  app = await startTestApp()
  const { host, port, user, password, name } = app.database
  healthy = {
    HOST: '127.0.0.1',
    PORT: String(app.server.port),
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USER: user,
    DB_PASSWORD: password,
    DB_NAME: name,
    EVOLUTION_API_KEY: ENGINE_KEY,
    EVOLUTION_SERVERS: app.sandboxes.map((sandbox) => `${sandbox.name}=${sandbox.url}`).join(','),
    JWT_SECRET,
  }
})
afterAll(() => app.stop())

const of = async (change: Record<string, string>, check: string) => {
  const findings = await examine({ ...healthy, ...change })
  return findings.find((finding) => finding.check === check)!
}

it('finds nothing wrong with a healthy server', async () => {
  const findings = await examine(healthy)
  expect(findings.filter(({ status }) => status === 'problem')).toEqual([])
  const checks = findings.map(({ check }) => check)
  expect(checks).toEqual(expect.arrayContaining(['port', 'disk', 'database', 'migrations', 'redis', 'ingress']))
  expect(checks).toEqual(expect.arrayContaining(['engine sandbox-1', 'engine sandbox-2']))
})

it('never shows a secret', async () => {
  const text = JSON.stringify(await examine({ ...healthy, REDIS_URL: `redis://:${healthy.DB_PASSWORD}@127.0.0.1:1` }))
  for (const secret of [healthy.DB_PASSWORD!, ENGINE_KEY, JWT_SECRET]) expect(text).not.toContain(secret)
})

it.each([
  ['a wrong password', { DB_PASSWORD: 'not-the-password-1' }, 'database', /keeps the DB_PASSWORD of its first start/],
  ['no database server', { DB_PORT: '1' }, 'database', /does not answer at .*start it/],
  ['an unknown host', { DB_HOST: 'nowhere.invalid' }, 'database', /There is no host/],
  ['a missing database', { DB_NAME: 'nothing_here' }, 'database', /There is no database "nothing_here": create it/],
  ['an empty database', { DB_NAME: 'postgres' }, 'migrations', /start the server once/],
  [
    'another key',
    { EVOLUTION_API_KEY: 'another-key-of-the-engines-0123456789' },
    'engine sandbox-1',
    /refuses our key/,
  ],
  ['an engine that is away', { EVOLUTION_SERVERS: 'gone=http://127.0.0.1:1' }, 'engine gone', /cannot be reached/],
  ['an address that leads nowhere', { INGRESS_URL: 'http://127.0.0.1:1' }, 'ingress', /set it to this server/],
  ['a missing secret', { JWT_SECRET: '', HOST: '0.0.0.0' }, 'settings', /JWT_SECRET is missing; make one with/],
  ['a password that breaks addresses', { DB_PASSWORD: 'with@slash/123' }, 'settings', /use letters and digits/],
])('says what to do about %s', async (_what, change, check, words) => {
  const finding = await of(change, check)
  expect(finding).toMatchObject({ status: 'problem', message: expect.stringMatching(words) })
  expect(finding.message).toMatch(/[.!?]$/)
})

it('does not blame the address of a server that does not run', async () => {
  const change = { PORT: '1', INGRESS_URL: 'http://127.0.0.1:1' }
  expect(await of(change, 'ingress')).toMatchObject({
    status: 'warning',
    message: expect.stringContaining('while the server runs'),
  })
})

it('counts a missing Redis as a warning, since everything goes on without it', async () => {
  const finding = await of({ REDIS_URL: 'redis://127.0.0.1:1' }, 'redis')
  expect(finding).toMatchObject({ status: 'warning', message: expect.stringContaining('goes on without it') })
})

it('notices a port that another program uses', async () => {
  const other = createServer((_req, res) => res.writeHead(404).end('something else')).listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  try {
    const finding = await of({ PORT: String((other.address() as AddressInfo).port) }, 'port')
    expect(finding).toMatchObject({ status: 'problem', message: expect.stringContaining('used by another program') })
  } finally {
    other.close()
  }
})

it('looks at servers that were added while the server runs, too', async () => {
  const url = 'http://127.0.0.1:1'
  await app.db.query(`insert into servers (name, url) values ('added', $1)`, [url])
  expect(await of({}, 'engine added')).toMatchObject({ status: 'problem', message: expect.stringContaining(url) })
  await app.db.query(`update servers set state = 'disabled' where name = 'added'`)
  expect(await of({}, 'engine added')).toBeUndefined()
  await app.db.query(`delete from servers where name = 'added'`)
})

it('notices two engines of one client name', async () => {
  const { url } = app.sandboxes[0]!
  const findings = await examine({ ...healthy, EVOLUTION_SERVERS: `one=${url},two=${url}` })
  expect(findings.find(({ message }) => message.includes('client name'))).toMatchObject({
    check: 'engine two',
    status: 'problem',
  })
})

describe('as a command', () => {
  const run = (env: Record<string, string>, ...args: string[]) =>
    new Promise<{ code: number; out: string }>((resolve) => {
      const file = path.join(CHECKOUT, 'dist/doctor.js')
      execFile(process.execPath, [file, ...args], { env, cwd: CHECKOUT }, (error, out) =>
        resolve({ code: error ? Number(error.code) : 0, out }),
      )
    })

  it('ends with 0 when nothing is wrong, and says so', async () => {
    const { code, out } = await run(healthy)
    expect([code, out]).toEqual([0, expect.stringContaining('Nothing to put right.')])
  })

  it('ends with 1 when something is, and tells programs in JSON', async () => {
    const { code, out } = await run({ ...healthy, DB_PORT: '1' }, '--json')
    const { findings } = JSON.parse(out) as { findings: { check: string; status: string }[] }
    expect([code, findings.find(({ check }) => check === 'database')?.status]).toEqual([1, 'problem'])
  })
})
