import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { ADMIN_KEY } from './support/operator.js'
import { type TestApp, startTestApp } from './support/test-app.js'

const PROGRAM = fileURLToPath(new URL('../dist/admin.js', import.meta.url))

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY } })
})
afterAll(() => app.stop())

function shell(args: string[], env: Record<string, string> = {}) {
  const settings = { PATH: process.env.PATH!, ADMIN_URL: app.url, ADMIN_API_KEY: ADMIN_KEY, ...env }
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { env: settings, cwd: tmpdir() }, (error, out, err) =>
      resolve({ code: error ? 1 : 0, out, err }),
    )
  })
}

it('makes, shows, limits and stops users', async () => {
  const made = await shell([
    'users',
    'create',
    'ani@example.com',
    '--plan',
    'business',
    '--max-numbers',
    '2',
    '--name=Ani',
    '--json',
  ])
  const { user, password_reset } = JSON.parse(made.out)
  expect(user).toMatchObject({
    email: 'ani@example.com',
    full_name: 'Ani',
    max_phone_numbers: 2,
    api_key: expect.stringMatching(/^wsk_/),
  })
  expect(password_reset.url).toContain('/reset-password#')
  const listed = await shell(['users', 'list', '--search', 'ani@'])
  expect(listed.out).toMatch(/^id +email/)
  expect(listed.out).toContain('ani@example.com')
  expect((await shell(['users', 'set', String(user.id), '--active-until', '2099-12-31'])).out).toContain(
    '2099-12-31T23:59:59',
  )
  expect((await shell(['users', 'suspend', String(user.id), '--reason', 'unpaid since May'])).out).toMatch(
    /status +suspended/,
  )
  expect((await shell(['users', 'activate', String(user.id)])).out).toMatch(/status +active/)
  expect((await shell(['users', 'delete', String(user.id)])).err).toContain('purge')
  expect((await shell(['users', 'delete', String(user.id), '--purge'])).code).toBe(0)
  const { out } = await shell(['audit', '--limit', '2'])
  expect(out).toMatch(/shell:\S+ +users\.delete/)
})

it('looks after the pool', async () => {
  expect((await shell(['servers', 'list'])).out).toMatch(/sandbox-1.*\n.*sandbox-2/)
  expect((await shell(['servers', 'drain', 'sandbox-1'])).out).toMatch(/state +draining/)
  expect((await shell(['servers', 'enable', 'sandbox-1'])).out).toMatch(/state +active/)
  expect((await shell(['servers', 'set', 'sandbox-1', '--capacity', '7'])).out).toMatch(/capacity +7/)
  expect((await shell(['servers', 'instances', 'sandbox-1'])).out).toBe('No instances.\n')
  expect((await shell(['usage', '--csv'])).out).toMatch(/^month,user_id,/)
})

it('says what is wrong and how it is used', async () => {
  expect(await shell(['servers', 'evacuate', 'nobody'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('There is no such server'),
  })
  expect(await shell(['users', 'show'])).toMatchObject({ code: 1, err: expect.stringContaining('ID is missing') })
  expect((await shell([])).out).toContain('npm run admin -- users list')
  expect(await shell(['plans', 'list'], { ADMIN_API_KEY: 'wrong' })).toMatchObject({
    code: 1,
    err: expect.stringContaining('x-admin-key'),
  })
  expect(await shell(['plans', 'list'], { ADMIN_URL: 'http://127.0.0.1:9' })).toMatchObject({
    code: 1,
    err: expect.stringContaining('Nothing answers'),
  })
})

it('does nothing where it does not know a word', async () => {
  for (const args of [
    ['users', 'list', '--plan-type', 'business'],
    ['users', 'set', '1', '--max-numbers', '4', '--max-message', '77'],
    ['users', 'delet', '1', '--purge'],
  ])
    expect(await shell(args)).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/has no --|no command/) })
  expect((await shell(['users', 'list', '--plan', 'nobody-has-this'])).out).not.toContain('ani@example.com')
})
