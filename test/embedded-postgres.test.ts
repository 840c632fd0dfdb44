import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { lockFolder } from '../src/embedded/folder-lock.js'
import { processStart } from '../src/embedded/process-table.js'
import { startPostgres, type Connection, type Postgres } from '../src/embedded/postgres.js'

const COMPILED = fileURLToPath(new URL('../dist/embedded/postgres.js', import.meta.url))

let folder: string
let data_dir: string
let open: Postgres[] = []

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'whatsapp-saas-test-embedded-'))
  chmodSync(folder, 0o711)
  await lockFolder(folder)
  data_dir = path.join(folder, 'data')
})

afterEach(async () => {
  for (const postgres of open) await postgres.close()
  open = []
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const settings = { fsync: 'off' }

async function start() {
  const postgres = await startPostgres({ data_dir, settings })
  open.push(postgres)
  return postgres
}

async function query<Row extends pg.QueryResultRow>(connection: Connection, text: string): Promise<Row[]> {
  const { host, port, user, password, database } = connection
  const client = new pg.Client({ host, port, user, password, database })
  await client.connect()
  const { rows } = await client.query<Row>(text).finally(() => client.end())
  return rows
}

/** A process of its own that starts PostgreSQL on the same folder and stays. */
async function startElsewhere(): Promise<{ child: ChildProcess; postgres: Connection }> {
  const code = `
    const { startPostgres } = await import(${JSON.stringify(COMPILED)})
    console.log(JSON.stringify(await startPostgres(${JSON.stringify({ data_dir, settings })})))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, postgres: JSON.parse(line.toString()) as Connection }
}

async function kill9(child: ChildProcess) {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

const serverPid = () => Number(readFileSync(path.join(data_dir, 'postgres/postmaster.pid'), 'utf8').split('\n')[0])

async function until(condition: () => boolean) {
  const deadline = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it did not happen within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('makes a UTF-8 database that only its password opens, on loopback only', async () => {
  const postgres = await start()
  expect(postgres).toMatchObject({ host: '127.0.0.1', user: 'postgres', database: 'evolution' })
  const [row] = await query(
    postgres,
    `select pg_encoding_to_char(encoding) as encoding, datlocprovider as provider, datlocale as locale,
            current_setting('listen_addresses') as addresses, current_setting('server_version_num')::int / 10000 as major
     from pg_database where datname = current_database()`,
  )
  expect(row).toEqual({ encoding: 'UTF8', provider: 'b', locale: 'C.UTF-8', addresses: '127.0.0.1', major: 17 })
  await expect(query({ ...postgres, password: 'wrong' }, 'select 1')).rejects.toMatchObject({ code: '28P01' })
  expect(statSync(path.join(data_dir, 'secrets.json')).mode & 0o777).toBe(0o600)
  await query(postgres, `create table notes as select 'kept' as text`)
})

test('keeps its data over a restart, and stops completely', async () => {
  const first = await start()
  const pid = serverPid()
  await first.close()
  expect(processStart(pid)).toBe('')
  const again = await start()
  expect(await query(again, 'select text from notes')).toEqual([{ text: 'kept' }])
})

test('a second start on the same folder is refused, naming the process that has it', async () => {
  const postgres = await start()
  await expect(startPostgres({ data_dir, settings })).rejects.toThrow(`already in use by process ${process.pid}`)
  expect(await query(postgres, 'select text from notes')).toHaveLength(1)
})

test('PostgreSQL stops by itself when its parent is killed', async () => {
  const { child } = await startElsewhere()
  const pid = serverPid()
  await kill9(child)
  await until(() => processStart(pid) === '')
})

test('a start takes over from a parent that was killed and whose PostgreSQL still runs', async () => {
  const { child, postgres } = await startElsewhere()
  const busy = new pg.Client({ ...postgres })
  busy.on('error', () => undefined)
  await busy.connect()
  const orphan = serverPid()
  // A stopped process cannot obey: PostgreSQL is still there when the next start looks.
  process.kill(orphan, 'SIGSTOP')
  await kill9(child)
  setTimeout(() => process.kill(orphan, 'SIGCONT'), 300)
  const next = await start()
  expect(processStart(orphan)).toBe('')
  expect(await query(next, 'select text from notes')).toEqual([{ text: 'kept' }])
})

test('a pid file and a lock whose process is another program by now do not block', async () => {
  const lines = [process.pid, path.join(data_dir, 'postgres'), 1, 5432, '', '127.0.0.1', '', 'ready', '']
  writeFileSync(path.join(data_dir, 'postgres/postmaster.pid'), lines.join('\n'))
  writeFileSync(path.join(data_dir, 'lock'), JSON.stringify({ pid: process.pid, started: '1' }))
  const postgres = await start()
  expect(await query(postgres, 'select text from notes')).toHaveLength(1)
})

test('a first start that was killed half-way, and lost secrets, do not block', async () => {
  rmSync(path.join(data_dir, 'secrets.json'))
  writeFileSync(path.join(data_dir, 'lock'), '')
  const postgres = await start()
  expect(await query(postgres, 'select text from notes')).toHaveLength(1)
  expect(existsSync(path.join(data_dir, 'secrets.json'))).toBe(true)
})

test('data of another PostgreSQL version is refused with a sentence', async () => {
  const file = path.join(data_dir, 'postgres/PG_VERSION')
  writeFileSync(file, '16\n')
  await expect(startPostgres({ data_dir, settings })).rejects.toThrow('made by PostgreSQL 16')
  writeFileSync(file, '17\n')
})
