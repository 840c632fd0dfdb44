import { readFileSync } from 'node:fs'
import { readConfig } from '../src/config.js'
import { settingNames } from '../src/settings.js'
import { problemsOf } from './support/config-problems.js'

const EXAMPLE = new URL('../.env.example', import.meta.url)
const SECRETS = {
  DB_PASSWORD: '3f2a9c51d0b7',
  EVOLUTION_API_KEY: '8a1f4c7e2b9d5063a1f4c7e2',
  JWT_SECRET: 'b1946ac92492d2347c6235b4d2611184e8f1',
  SERVER_URL: 'https://api.wa.test',
}
const OUTSIDE = { HOST: '0.0.0.0', DB_HOST: 'postgres', EVOLUTION_SERVERS: 'http://evolution-api-1:8080', ...SECRETS }

describe('.env.example', () => {
  const names = [...readFileSync(EXAMPLE, 'utf8').matchAll(/^#?\s?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name!)

  it('documents every setting, and none that does not exist', () => {
    expect([...new Set(names)].sort()).toEqual([...settingNames].sort())
  })

  it('documents each setting once', () => {
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([])
  })

  it('says how to make the secrets, and holds none that would be accepted', () => {
    const text = readFileSync(EXAMPLE, 'utf8')
    expect(text).toContain('openssl rand')
    const given = Object.fromEntries(
      [...text.matchAll(/^([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
    )
    const problems = problemsOf({ ...given, HOST: '0.0.0.0' }).join('\n')
    for (const name of ['DB_PASSWORD', 'EVOLUTION_API_KEY', 'JWT_SECRET']) expect(problems).toContain(name)
  })
})

it('every mistake is told at once, with the name of the setting', () => {
  const problems = problemsOf({
    ...OUTSIDE,
    PORT: '99999',
    ROLE: 'boss',
    REDIS_URL: 'localhost',
    DEFAULT_COUNTRY: 'UK',
    DEFAULT_TIME_ZONE: 'Jakarta',
    SELF_SERVICE_PLANS: 'starter,platinum',
    EVOLUTION_SERVERS: 'evolution-api-1',
    SEND_GAP_SECONDS: 'soon',
  })
  for (const name of 'PORT ROLE REDIS_URL DEFAULT_COUNTRY DEFAULT_TIME_ZONE SELF_SERVICE_PLANS EVOLUTION_SERVERS SEND_GAP_SECONDS'.split(
    ' ',
  ))
    expect(problems.filter((problem) => problem.startsWith(name))).toHaveLength(1)
})

it('the text of the error lists the mistakes and says where settings are explained', () => {
  expect(() => readConfig({ ...OUTSIDE, PORT: 'x', ROLE: 'y' })).toThrow(/PORT[^]*ROLE[^]*\.env\.example/)
})

it.each(['/', '?', '#', '%', '%41'])(
  'a password with %s is refused where docker-compose.yml makes addresses of it, and only there',
  (mark) => {
    const DB_PASSWORD = `3f2a9c51${mark}d0b7`
    const composed = { ...OUTSIDE, DB_PASSWORD, REDIS_URL: `redis://:${DB_PASSWORD}@redis:6379`, PORT: 'x' }
    expect(problemsOf(composed)).toEqual([
      expect.stringMatching(/^DB_PASSWORD has one of .* use letters and digits/),
      expect.stringContaining('PORT'),
    ])
    expect(problemsOf({ ...OUTSIDE, DB_PASSWORD, REDIS_URL: 'redis://redis:6379' })).toEqual([])
  },
)

it('good secrets are enough beyond loopback', () => {
  expect(problemsOf(OUTSIDE)).toEqual([])
})

it.each([
  ['DB_PASSWORD', 'YourSecurePasswordHere2024!'],
  ['EVOLUTION_API_KEY', 'your-global-evolution-api-key-here-2024'],
  ['JWT_SECRET', 'your-jwt-secret-key-here-2024-super-secure'],
  ['DB_PASSWORD', 'postgres'],
  ['JWT_SECRET', 'secret'],
  ['EVOLUTION_API_KEY', 'short'],
  ['JWT_SECRET', undefined],
  ['DB_PASSWORD', ''],
  ['SERVER_URL', undefined],
])('%s = %s is refused beyond loopback, and warned about or let pass on it', (name, value) => {
  expect(problemsOf({ ...OUTSIDE, [name]: value })).toEqual([expect.stringContaining(name)])
  if (value !== undefined) expect(problemsOf({ ...OUTSIDE, HOST: '127.0.0.1', [name]: value })).toEqual([])
})

it('a database without engines is refused with a sentence that says what to do', () => {
  const problems = problemsOf({ DB_HOST: 'postgres', ...SECRETS, EVOLUTION_API_KEY: undefined }).join('\n')
  expect(problems).toContain('EVOLUTION_SERVERS is missing')
  expect(problems).toContain('SANDBOX=true')
})

it('the variables of the specification are enough for development, with its pair of engines', () => {
  const config = readConfig({
    DB_HOST: 'localhost',
    DB_PASSWORD: 'postgres',
    EVOLUTION_API_KEY: 'your-key',
    JWT_SECRET: 'secret',
  })
  expect(config.database).toMatchObject({ host: 'localhost', port: 5432, user: 'postgres', name: 'evolution' })
  expect(config.engine.servers).toEqual([
    { name: 'evolution-api-1', url: 'http://evolution-api-1:8080' },
    { name: 'evolution-api-2', url: 'http://evolution-api-2:8080' },
  ])
  expect(config.warnings.join('\n')).toMatch(/JWT_SECRET/)
})

it('a server beyond loopback where anybody may take a paid plan is warned about', () => {
  expect(readConfig(OUTSIDE).warnings.join('\n')).toContain('SELF_SERVICE_PLANS')
  expect(readConfig({ ...OUTSIDE, SELF_SERVICE_PLANS: 'starter' }).warnings).toEqual([])
  expect(readConfig({ ...OUTSIDE, REGISTRATION: 'closed' }).warnings).toEqual([])
})

it('an address that leads to another port of this machine is warned about, unless it is behind a proxy', () => {
  const warned = (SERVER_URL: string, more: object = {}) =>
    readConfig({ ...SECRETS, DB_HOST: 'localhost', SERVER_URL, ...more })
      .warnings.join()
      .includes('SERVER_URL')
  expect([warned('http://localhost'), warned('http://127.0.0.1:3001')]).toEqual([true, true])
  expect([warned('http://localhost:3000'), warned('https://localhost')]).toEqual([false, false])
  expect(warned('http://localhost', { HOST: '0.0.0.0' })).toBe(false)
})

it('engines have names of their own or those of their hosts, and each one only once', () => {
  const config = readConfig({ ...OUTSIDE, EVOLUTION_SERVERS: 'http://a:8080/, b=https://b.wa.test ,http://a:8081' })
  expect(config.engine.servers.map(({ name, url }) => `${name} ${url}`)).toEqual([
    'a http://a:8080',
    'b https://b.wa.test',
    'a:8081 http://a:8081',
  ])
  expect(problemsOf({ ...OUTSIDE, EVOLUTION_SERVERS: 'x=http://a:8080,x=http://b:8080' })).toEqual([
    expect.stringContaining('twice'),
  ])
})
