import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { settingNames } from '../src/settings.js'
import { problemsOf } from './support/config-problems.js'
import { CHECKOUT } from './support/launcher.js'

const read = (name: string) => readFileSync(path.join(CHECKOUT, name), 'utf8')
const compose = read('docker-compose.yml')

/** The text of one service, or of an `x-` block. */
function block(name: string, indent = '  '): string {
  const found = new RegExp(`^${indent}${name}:[^\\n]*\\n((?:${indent} .*\\n|\\n|${indent}#.*\\n)+)`, 'm').exec(compose)
  if (!found) throw new Error(`docker-compose.yml has no ${name}`)
  return found[1]!
}

const SERVICES = ['postgres', 'redis', 'evolution-redis', 'evolution-api-1', 'evolution-api-2', 'saas-api', 'nginx']

it('has memory limits that add up to 2 GB', () => {
  const engine = block('x-evolution', '')
  const limits = SERVICES.map((name) => (name.startsWith('evolution-api') ? engine : block(name)))
  const megabytes = limits.map((text) => Number(/mem_limit: (?:\$\{SERVER_MEMORY_MB:-)?(\d+)\}?m/.exec(text)?.[1]))
  expect(megabytes.every((size) => size > 0)).toBe(true)
  expect(megabytes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(2048)
})

it('opens nothing to the world but nginx', () => {
  const open = SERVICES.flatMap((name) =>
    [...block(name).matchAll(/^ +- '([\d.:-]+)'/gm)].map((match) => [name, match[1]!]),
  )
  const beyond = open.filter(([, port]) => !port!.startsWith('127.0.0.1:'))
  expect(beyond).toEqual([
    ['nginx', '80:80'],
    ['nginx', '443:443'],
  ])
  expect(open).toContainEqual(['postgres', '127.0.0.1:5432:5432'])
  expect(open).toContainEqual(['evolution-api-1', '127.0.0.1:8081:8080'])
  expect(open).toContainEqual(['evolution-api-2', '127.0.0.1:8082:8080'])
})

it('gives each engine its own name, prefix, volume and port, and marks those lines', () => {
  const marked = (name: string) =>
    block(name)
      .split('\n')
      .filter((line) => line.includes('# each its own'))
  const [first, second] = [marked('evolution-api-1'), marked('evolution-api-2')]
  expect(first).toHaveLength(5)
  expect(second.map((line) => line.replace(/(api-|evolution_|808)2/g, '$11'))).toEqual(first)
  first.forEach((line, i) => expect(line).not.toBe(second[i]))
})

it('runs the engines as the contract says', () => {
  const settings = block('x-evolution-environment', '')
  const given = Object.fromEntries([...settings.matchAll(/^ {2}([A-Z_]+): '?(.*?)'?$/gm)].map((m) => [m[1], m[2]]))
  expect(given).toMatchObject({
    SERVER_TYPE: 'http',
    SERVER_PORT: '8080',
    TZ: 'UTC',
    AUTHENTICATION_API_KEY: expect.stringMatching(/^\$\{EVOLUTION_API_KEY:\?/),
    AUTHENTICATION_EXPOSE_IN_FETCH_INSTANCES: 'false',
    DATABASE_PROVIDER: 'postgresql',
    DATABASE_SAVE_DATA_INSTANCE: 'true',
    DATABASE_SAVE_DATA_NEW_MESSAGE: 'true',
    DATABASE_SAVE_MESSAGE_UPDATE: 'true',
    DATABASE_SAVE_DATA_CONTACTS: 'false',
    DATABASE_SAVE_DATA_CHATS: 'false',
    DATABASE_SAVE_DATA_HISTORIC: 'false',
    DATABASE_SAVE_DATA_LABELS: 'false',
    DATABASE_SAVE_IS_ON_WHATSAPP: 'true',
    DATABASE_SAVE_IS_ON_WHATSAPP_DAYS: '7',
    CACHE_REDIS_ENABLED: 'true',
    CACHE_REDIS_URI: 'redis://evolution-redis:6379/6',
    CACHE_REDIS_TTL: '604800',
    CACHE_REDIS_SAVE_INSTANCES: 'false',
    CACHE_LOCAL_ENABLED: 'false',
    DEL_INSTANCE: 'false',
    LOG_LEVEL: 'ERROR,WARN,INFO',
    LOG_BAILEYS: 'error',
    TELEMETRY_ENABLED: 'false',
    SERVER_DISABLE_MANAGER: 'true',
    WEBSOCKET_ENABLED: 'false',
    RABBITMQ_ENABLED: 'false',
    QRCODE_LIMIT: '10',
    CONFIG_SESSION_PHONE_NAME: 'Chrome',
    WEBHOOK_GLOBAL_ENABLED: 'false',
    WEBHOOK_REQUEST_TIMEOUT_MS: '10000',
    WEBHOOK_RETRY_MAX_ATTEMPTS: '60',
    WEBHOOK_RETRY_INITIAL_DELAY_SECONDS: '5',
    WEBHOOK_RETRY_USE_EXPONENTIAL_BACKOFF: 'true',
    WEBHOOK_RETRY_MAX_DELAY_SECONDS: '300',
    WEBHOOK_RETRY_JITTER_FACTOR: '0.2',
    WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES: '410',
  })
  // Ignored since 2.3.2, and a stale one kept QR codes away before.
  expect(settings).not.toContain('CONFIG_SESSION_PHONE_VERSION')
  expect(settings).toMatch(/DATABASE_CONNECTION_URI: postgresql:.*schema=evolution_api/)
  expect(read('deploy/postgres-init.sql')).toContain('create schema if not exists evolution_api')
  expect(block('x-evolution', '')).toContain('evoapicloud/evolution-api:v2.3.7')
  // The image has neither curl nor wget for certain, and GET / asks WhatsApp.
  expect(block('x-evolution', '')).toMatch(/node -e "fetch\('http:\/\/127\.0\.0\.1:8080\/verify-creds'/)
  expect(block('evolution-api-2')).toMatch(/depends_on:[^]*evolution-api-1: \{ condition: service_healthy \}/)
  expect(block('evolution-redis')).toMatch(/--appendonly, 'yes'.*noeviction/)
})

it.each([...`!@$&+:;*'" =(~^[\\/?#%`])('a DB_PASSWORD with %s works in every address, or is refused', (mark) => {
  const password = `3f2a9c51${mark}d0b7`
  const filled = (pattern: RegExp) => pattern.exec(compose)![1]!.replace(/\$\{DB_PASSWORD(:[^}]*)?\}/g, () => password)
  const addresses = [filled(/REDIS_URL: (\S+)/), filled(/DATABASE_CONNECTION_URI: (.+)/)]
  const refused = problemsOf({ DB_PASSWORD: password, REDIS_URL: addresses[0] })
  if (refused.some((problem) => problem.startsWith('DB_PASSWORD has one of'))) return
  for (const address of addresses) expect(decodeURIComponent(new URL(address).password)).toBe(password)
})

it('names no container and pins every image', () => {
  expect(compose).not.toContain('container_name')
  expect(compose).not.toMatch(/image: \S+:latest$/m)
  expect(compose).toContain('name: whatsapp-saas-complete_postgres_data')
})

it('hands the server only settings that it has', () => {
  const names = [...block('saas-api').matchAll(/^ {6}([A-Z_]+):/gm)].map((match) => match[1]!)
  expect(names.length).toBeGreaterThan(10)
  expect(names.filter((name) => !settingNames.includes(name))).toEqual([])
})

it('keeps the image small: what it copies is let through, and nothing that is private', () => {
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
    match[1]!.split(' '),
  )
  const allowed = read('.dockerignore').split('\n')
  expect(copied.filter((name) => !allowed.includes(`!${name}`))).toEqual([])
  expect(copied.filter((name) => !existsSync(path.join(CHECKOUT, name)))).toEqual([])
  expect(allowed[0]).toBe('*')
  expect(allowed.join()).not.toMatch(/\.env|data|node_modules/)
})

describe('the steps that the pages tell', () => {
  const stepsIn = (page: string) =>
    [...read(page).matchAll(/^ *```sh\n([^]*?)^ *```$/gm)].map(([, text]) => text!.replace(/ *# .*$/gm, '').trimEnd())

  it('fill in all that is mandatory, and the server takes it', () => {
    const steps = stepsIn('README.md').find((text) => text.startsWith('cp .env.example .env'))!
    const folder = mkdtempSync(path.join(tmpdir(), 'whatsapp-saas-test-steps-'))
    try {
      copyFileSync(path.join(CHECKOUT, '.env.example'), path.join(folder, '.env.example'))
      execFileSync('bash', ['-ec', steps.slice(0, steps.indexOf('nano'))], { cwd: folder })
      const lines = readFileSync(path.join(folder, '.env'), 'utf8').matchAll(/^([A-Z_]+)=(.*)$/gm)
      const filled = Object.fromEntries([...lines].map(([, name, value]) => [name, value]))
      const REDIS_URL = `redis://:${filled.DB_PASSWORD}@redis:6379`
      expect(problemsOf({ ...filled, HOST: '0.0.0.0', DB_HOST: 'postgres', REDIS_URL })).toEqual([])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('are the same in both languages, and name scripts and services that exist', () => {
    const steps = stepsIn('docs/operations.md').join('\n')
    expect(stepsIn('docs/operations.id.md').join('\n')).toBe(
      steps.replaceAll('YOUR-SERVER', 'SERVER-ANDA').replaceAll("'NEW'", "'BARU'"),
    )
    const scripts = [...steps.matchAll(/(?<!\S)(?:\.\/)?((?:deploy\/)?[a-z-]+\.sh)\b/g)].map((match) => match[1]!)
    expect(scripts.length).toBeGreaterThan(3)
    expect(scripts.filter((name) => !existsSync(path.join(CHECKOUT, name)))).toEqual([])
    const services = [...steps.matchAll(/docker-compose (?:exec|logs|ps|restart)(?: -\w)* ([a-z][a-z0-9-]+)/g)]
    expect(services.length).toBeGreaterThan(5)
    expect(services.map((match) => match[1]).filter((name) => !SERVICES.includes(name!))).toEqual([])
  })
})

it('the image is published for two processors without emulating one', () => {
  const dockerfile = read('Dockerfile')
  const told = /sed -i -E '([^']+)' Dockerfile/.exec(read('.github/workflows/ci.yml'))![1]!
  const changed = execFileSync('sed', ['-E', told], { input: dockerfile }).toString()
  const [first, second, last] = changed.split(/^(?=FROM )/m).slice(1)
  expect([first, second]).toEqual([
    expect.stringMatching(/^FROM --platform=\$BUILDPLATFORM node\S+ AS build\n/),
    expect.stringMatching(/^FROM --platform=\$BUILDPLATFORM node\S+ AS packages\n/),
  ])
  expect(last).toMatch(/^FROM node\S+\n/)
  expect(last).not.toMatch(/^RUN /m)
  for (const processor of ['x64', 'arm64'])
    expect(existsSync(path.join(CHECKOUT, `node_modules/bcrypt/prebuilds/linux-${processor}`))).toBe(true)
})

it('the scripts are valid shell', () => {
  for (const name of [
    'test-api.sh',
    'backup.sh',
    'restore.sh',
    'deploy/rolling-restart.sh',
    'deploy/compose.sh',
    'bin/healthy',
  ])
    execFileSync('bash', ['-n', path.join(CHECKOUT, name)])
})

const found = (
  [
    ['docker-compose', ['version']],
    ['docker', ['compose', 'version']],
  ] as const
).filter(([command, args]) => {
  try {
    execFileSync(command, args, { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
})
if (found.length === 0)
  console.log('Neither docker-compose nor docker compose is here, so the file is not read by one.')

const told =
  found.length > 0 ? describe.each(found.map(([command]) => command)) : describe.skip.each(['docker-compose'])
told('%s', (command) => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'whatsapp-saas-test-compose-'))
    for (const name of ['docker-compose.yml', 'docker-compose.sandbox.yml'])
      copyFileSync(path.join(CHECKOUT, name), path.join(folder, name))
    cpSync(path.join(CHECKOUT, 'deploy'), path.join(folder, 'deploy'), { recursive: true })
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const SECRETS = ['DB_PASSWORD', 'EVOLUTION_API_KEY', 'JWT_SECRET', 'SERVER_URL']
  function config(files: string[], without?: string): string {
    const example = read('.env.example')
    const filled = SECRETS.reduce(
      (text, name) =>
        text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${name === without ? '' : 'x'.repeat(40)}`),
      example,
    )
    writeFileSync(path.join(folder, '.env'), filled)
    const args = [...(command === 'docker' ? ['compose'] : []), ...files.flatMap((file) => ['-f', file]), 'config']
    const { PATH, HOME } = process.env
    return execFileSync(command, args, { cwd: folder, env: { PATH, HOME }, stdio: 'pipe' }).toString()
  }

  it('accepts the file, also with the sandbox', () => {
    const sandboxed = ['docker-compose.yml', 'docker-compose.sandbox.yml']
    // Of the services only: compose v2 prints the x- blocks as well.
    const images = (files: string[]) => [...config(files).matchAll(/^ {4}image: (.+)$/gm)].map((match) => match[1])
    expect(images(['docker-compose.yml'])).toContain('evoapicloud/evolution-api:v2.3.7')
    expect(images(sandboxed)).toHaveLength(SERVICES.length)
    expect(images(sandboxed)).not.toContain('evoapicloud/evolution-api:v2.3.7')
  })

  it.each(SECRETS)('refuses to start without %s, and says what to do', (name) => {
    expect(() => config(['docker-compose.yml'], name)).toThrow(new RegExp(`set ${name} in \\.env`))
  })
})
