import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { environmentKeys } from '../src/config.js'
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
  for (const line of [
    "CACHE_REDIS_SAVE_INSTANCES: 'false'",
    "DATABASE_SAVE_DATA_NEW_MESSAGE: 'true'",
    "DEL_INSTANCE: 'false'",
    "TELEMETRY_ENABLED: 'false'",
    "SERVER_DISABLE_MANAGER: 'true'",
    "WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES: '410'",
    'TZ: UTC',
  ])
    expect(settings).toContain(line)
  expect(settings).toMatch(/DATABASE_CONNECTION_URI: postgresql:.*schema=evolution_api/)
  expect(read('deploy/postgres-init.sql')).toContain('create schema if not exists evolution_api')
  expect(block('x-evolution', '')).toContain('evoapicloud/evolution-api:v2.3.7')
  expect(block('evolution-redis')).toMatch(/--appendonly, 'yes'.*noeviction/)
})

it('names no container and pins every image', () => {
  expect(compose).not.toContain('container_name')
  expect(compose).not.toMatch(/image: \S+:latest$/m)
  expect(compose).toContain('name: whatsapp-saas-complete_postgres_data')
})

it('hands the server only settings that it has', () => {
  const names = [...block('saas-api').matchAll(/^ {6}([A-Z_]+):/gm)].map((match) => match[1]!)
  expect(names.length).toBeGreaterThan(10)
  expect(names.filter((name) => !environmentKeys.includes(name))).toEqual([])
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

it('the scripts are valid shell', () => {
  for (const name of ['backup.sh', 'restore.sh', 'deploy/rolling-restart.sh', 'deploy/compose.sh', 'bin/healthy'])
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
    expect(config(['docker-compose.yml'])).toContain('evoapicloud/evolution-api')
    expect(config(sandboxed)).not.toContain('evoapicloud/evolution-api')
  })

  it.each(SECRETS)('refuses to start without %s, and says what to do', (name) => {
    expect(() => config(['docker-compose.yml'], name)).toThrow(new RegExp(`set ${name} in \\.env`))
  })
})
