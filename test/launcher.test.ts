import { createServer } from 'node:http'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { canReach } from '../src/embedded/data-folder.js'
import { freePorts } from '../src/embedded/free-ports.js'
import { CHECKOUT, NOBODY, Playground, isRoot } from './support/launcher.js'

const playground = new Playground()
beforeAll(() => playground.open())
afterAll(() => playground.remove())
afterEach(() => playground.endAll())

/** Answers `{ status }`, or undefined while nobody listens. */
async function livez(port: number): Promise<number | undefined> {
  const response = await fetch(`http://127.0.0.1:${port}/livez`).catch(() => undefined)
  return response?.status
}

const register = (port: number, email: string) =>
  fetch(`http://127.0.0.1:${port}/api/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'SecurePass123!', full_name: 'Kept' }),
  })

describe('npm start', () => {
  test('on a Node too old says so in one sentence', async () => {
    const old = path.join(playground.folder, 'old-node.cjs')
    writeFileSync(old, `Object.defineProperty(process, 'version', { value: 'v10.24.1' })`)
    const run = playground.run(['-r', old, 'scripts/run.cjs', 'start'])
    expect(await run.ended).toBe(1)
    expect(run.output).toBe(
      'This program needs Node.js 20.19 or newer, and this is v10.24.1. ' +
        'Install a current one from https://nodejs.org and try again.\n',
    )
  })

  test('answers within seconds and says what to do next; Ctrl-C ends everything it started', async () => {
    const data_dir = playground.dataFolder()
    const PORT = await freePorts(1)
    const run = playground.start({ DATA_DIR: data_dir, PORT })
    await run.says(/answers at http:\/\/127\.0\.0\.1:\d+ after \d+\.\d s/)
    await run.says(/Or every call at once/)
    expect(await livez(PORT)).toBe(200)
    expect(playground.processesOf(data_dir).length).toBeGreaterThanOrEqual(2)
    // A terminal tells the whole process group, and npm then tells its child once more.
    run.signalGroup('SIGINT')
    await new Promise((resolve) => setTimeout(resolve, 50))
    run.signalGroup('SIGINT')
    expect(await run.ended).toBe(0)
    expect(run.output).toMatch(/Stopped\.\n$/)
    expect(playground.processesOf(data_dir)).toEqual([])
  })

  test('with the port taken names the port and a way out, and leaves nothing behind', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const PORT = (other.address() as { port: number }).port
    const data_dir = playground.dataFolder()
    const run = playground.start({ DATA_DIR: data_dir, PORT })
    expect(await run.ended).toBe(1)
    expect(run.output).toContain(`Port ${PORT} is taken; stop what uses it or start with PORT=${PORT + 1} npm start`)
    expect(playground.processesOf(data_dir)).toEqual([])
    other.close()
  })

  test('with a wrong setting lists it, and leaves nothing behind', async () => {
    const data_dir = playground.dataFolder()
    const run = playground.start({ DATA_DIR: data_dir, PORT: 'many', REGISTRATION: 'maybe' })
    expect(await run.ended).toBe(1)
    expect(run.output).toMatch(/PORT[^]*REGISTRATION/)
    expect(playground.processesOf(data_dir)).toEqual([])
  })

  test('a second time on the same data is refused; after kill -9 it just works, and the data is there', async () => {
    const data_dir = playground.dataFolder()
    const [PORT, other] = [await freePorts(1), await freePorts(1)]
    const first = playground.start({ DATA_DIR: data_dir, PORT })
    await first.says(/answers at/)
    expect((await register(PORT, 'kept@example.com')).status).toBe(201)

    const second = playground.start({ DATA_DIR: data_dir, PORT: other })
    expect(await second.ended).toBe(1)
    expect(second.output).toContain(`already in use by process ${first.pid}`)
    expect(await livez(PORT)).toBe(200)

    first.signal('SIGKILL')
    const third = playground.start({ DATA_DIR: data_dir, PORT })
    await third.says(/answers at/)
    expect((await register(PORT, 'kept@example.com')).status).toBe(409)
  })

  test('a sandbox that dies is started again on the same ports', async () => {
    const data_dir = playground.dataFolder()
    const run = playground.start({ DATA_DIR: data_dir, PORT: await freePorts(1) })
    await run.says(/answers at/)
    const sandbox = () => playground.processesOf(data_dir).find(({ command }) => command.includes('sandbox/main'))
    const before = sandbox()!
    process.kill(before.pid, 'SIGKILL')
    await run.says(/sandbox ended unexpectedly/)
    const port = / --port (\d+) /.exec(before.command)![1]
    await playground.until(
      async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.status === 200,
    )
    expect(sandbox()!.command).toBe(before.command)
  })
})

describe('a checkout', () => {
  test('in a folder that only its owner may enter works, with its .env', async () => {
    const folder = playground.checkout({ mode: 0o700 })
    const PORT = await freePorts(1)
    writeFileSync(path.join(folder, '.env'), `PORT=${PORT}\nLOG_LEVEL=debug\n`)
    const run = playground.start({}, { cwd: folder })
    await run.says(/answers at/)
    expect(await livez(PORT)).toBe(200)
    const data_dir = / {2}Data: +(\S+)/.exec(run.output)![1]!
    expect(data_dir.startsWith(folder)).toBe(!isRoot)
    run.signal('SIGTERM')
    expect(await run.ended).toBe(0)
    rmSync(data_dir, { recursive: true })
  })

  const elsewhere = isRoot && canReach(CHECKOUT, NOBODY)
  ;(elsewhere ? test : test.skip)('of a normal user works', async () => {
    const folder = playground.checkout({ mode: 0o755, owner: NOBODY })
    const PORT = await freePorts(1)
    const run = playground.start({ PORT }, { cwd: folder, owner: NOBODY })
    await run.says(/answers at/)
    expect(await livez(PORT)).toBe(200)
    expect(run.output).toContain(`Data:   ${folder}/data`)
    run.signal('SIGTERM')
    expect(await run.ended).toBe(0)
  })

  test('under npm run dev reloads when a source changes, and ends with its launcher', async () => {
    const folder = playground.checkout({ mode: 0o755 })
    const data_dir = playground.dataFolder()
    const PORT = await freePorts(1)
    const run = playground.run(['scripts/run.cjs', 'dev'], { DATA_DIR: data_dir, PORT }, { cwd: folder })
    await run.says(/answers at/)
    utimesSync(path.join(folder, 'src/config.ts'), new Date(), new Date())
    await run.says(/Reloading[^]*answers at/)
    expect(await livez(PORT)).toBe(200)
    run.signal('SIGKILL')
    await playground.until(() => playground.processesOf(data_dir).length === 0)
    await playground.until(async () => (await livez(PORT)) === undefined)
  })

  test('is built again only when its sources have changed, without what has gone', async () => {
    const folder = playground.checkout({ mode: 0o755 })
    rmSync(path.join(folder, 'src'), { recursive: true })
    mkdirSync(path.join(folder, 'src'))
    writeFileSync(path.join(folder, 'src/main.ts'), `process.stdout.write('Built anew.\\n')\n`)
    const first = playground.start({}, { cwd: folder })
    expect(await first.ended).toBe(0)
    expect(first.output).toBe('Building (a few seconds) …\nBuilt anew.\n')
    expect(existsSync(path.join(folder, 'dist/config.js'))).toBe(false)
    const again = playground.start({}, { cwd: folder })
    expect(await again.ended).toBe(0)
    expect(again.output).toBe('Built anew.\n')
  })

  test('that does not compile says where, and does not start', async () => {
    const folder = playground.checkout({ mode: 0o755 })
    rmSync(path.join(folder, 'src'), { recursive: true })
    mkdirSync(path.join(folder, 'src'))
    writeFileSync(path.join(folder, 'src/main.ts'), `export const broken: number = 'text'\n`)
    const run = playground.start({}, { cwd: folder })
    expect(await run.ended).toBe(1)
    expect(run.output).toMatch(/src\/main\.ts\(1,14\): error TS2322[^]*The build failed\.\n$/)
  })
})
