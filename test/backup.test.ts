import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { EnginePruner } from '../src/workers/engine-pruner.js'
import { NumberChanges } from '../src/services/number-changes.js'
import { markSessionsLost } from '../src/services/restoration.js'
import { CHECKOUT } from './support/launcher.js'
import {
  type ConnectedNumber,
  type TestApp,
  type TestUser,
  eventually,
  startReplica,
  startTestApp,
} from './support/test-app.js'

describe('a database that was put back', () => {
  let app: TestApp
  let user: TestUser
  let phone: ConnectedNumber
  beforeEach(async () => {
    app = await startTestApp()
    user = await app.createUser()
    phone = await app.connectedNumber(user)
  })
  afterEach(() => app.stop())

  const timesSent = (text: string) => phone.controls.ledger.count(phone.engine_name, '628123456789', text)

  it('sends what was waiting, and keeps every user, key, number and message', async () => {
    await user.post(`/api/phone-numbers/${phone.id}/queue/pause`)
    const texts = Array.from({ length: 12 }, (_, i) => `waited ${i}`)
    for (const text of texts) {
      const accepted = await user.post('/api/messages/send-text?wait=0', {
        token: phone.token,
        number: '628123456789',
        text,
      })
      expect(accepted.status).toBe(202)
    }
    await app.server.close()

    const copy = await copyOf(app)
    const restored = await startReplica(copy, app.sandboxes)
    try {
      const again = app.as(user, restored)
      expect((await again.get('/api/user/profile')).body.user.id).toBe(user.id)
      await again.post(`/api/phone-numbers/${phone.id}/queue/resume`)
      await eventually(() => Promise.resolve(texts.every((text) => timesSent(text) > 0)))
      expect(texts.map(timesSent)).toEqual(texts.map(() => 1))
    } finally {
      await restored.close()
      await copy.drop()
    }
  })

  it('without the sessions marks each linked number, tells its user once, and links it anew', async () => {
    const { db, bus } = app.ctx
    const changes = new NumberChanges(db, bus)
    expect(await markSessionsLost(db, changes)).toBe(1)
    expect(await markSessionsLost(db, changes)).toBe(0)

    const status = await user.get(`/api/phone-numbers/${phone.id}/status`)
    expect(status.body.phone_number).toMatchObject({ status: 'disconnected', status_reason: 'server_lost' })
    const { rows } = await db.query<{ reason: string }>(
      `select payload::jsonb -> 'data' ->> 'reason' as reason from events where type = 'phone_number.disconnected'`,
    )
    expect(rows).toEqual([{ reason: 'server_lost' }])

    const code = await user.get(`/api/phone-numbers/${phone.id}/qr?wait=10`)
    expect(code.body.phone_number.qr_code).toMatch(/^data:image\/png;base64,/)
  })
})

/** What a dump and a restore make: the same rows in another database. */
async function copyOf(app: TestApp) {
  const { host, port, user, password, name } = app.database
  const copy = `test_${randomBytes(6).toString('hex')}`
  const administer = async (statement: string) => {
    const client = new pg.Client({ host, port, user, password, database: 'postgres' })
    await client.connect()
    await client.query(statement).finally(() => client.end())
  }
  await administer(`create database ${copy} template ${name}`)
  const drop = () => administer(`drop database if exists ${copy} with (force)`)
  return { host, port, user, password, database: copy, name: copy, drop }
}

describe("Evolution's own messages", () => {
  let app: TestApp
  beforeAll(async () => {
    app = await startTestApp()
  })
  afterAll(() => app.stop())

  it('are left alone while it keeps them elsewhere', async () => {
    await expect(new EnginePruner(app.db, 30).runOnce()).resolves.toBeUndefined()
  })

  it('are deleted when they are older than the setting, with what hangs on them', async () => {
    await app.db.query('create schema evolution_api')
    await app.db.query(
      'create table evolution_api."Message" (id text primary key, "messageTimestamp" integer not null)',
    )
    await app.db.query(
      `create table evolution_api."MessageUpdate" (
         id text, "messageId" text references evolution_api."Message" on delete cascade)`,
    )
    const days = [0, 1, 29, 31, 400]
    const age = `extract(epoch from now() - make_interval(days => d))::integer`
    await app.db.query(`insert into evolution_api."Message" select 'm' || d, ${age} from unnest($1::int[]) d`, [days])
    await app.db.query(`insert into evolution_api."Message" select 'old' || n, 1 from generate_series(1, 450) n`)
    await app.db.query(`insert into evolution_api."MessageUpdate" select 'u' || id, id from evolution_api."Message"`)

    await new EnginePruner(app.db, 0).runOnce()
    const count = async (table: string) =>
      (await app.db.query<{ n: number }>(`select count(*) as n from evolution_api."${table}"`)).rows[0]!.n
    expect(await count('Message')).toBe(455)
    await new EnginePruner(app.db, 30).runOnce()
    expect([await count('Message'), await count('MessageUpdate')]).toEqual([3, 3])
  })
})

describe('the scripts, with a docker-compose that only notes what it is asked', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'whatsapp-saas-test-backup-'))
    mkdirSync(path.join(folder, 'bin'))
    for (const name of ['backup.sh', 'restore.sh', 'deploy'])
      cpSync(path.join(CHECKOUT, name), path.join(folder, name), { recursive: true })
    writeFileSync(path.join(folder, '.env'), 'EVOLUTION_API_KEY=a\nJWT_SECRET=b\n')
    program('docker', 'if [ "$1" = ps ]; then echo "${@: -1}" | sed s/id=//; else echo healthy; fi')
    program(
      'docker-compose',
      `echo "$@" >>"${folder}/asked"
       case "$*" in
         "config --services") printf 'postgres\\nevolution-api-1\\n' ;;
         "ps -q "*) echo "container-of-$3" ;;
         *pg_dump*) echo PGDMP ;;
         *redis-cli\\ --rdb*) printf REDIS0011 ;;
         *"tar cf"*) tar cf - -T /dev/null ;;
         *pg_restore*|run*) cat >/dev/null ;;
       esac`,
    )
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  function program(name: string, script: string) {
    const file = path.join(folder, 'bin', name)
    writeFileSync(file, `#!/bin/bash\n${script}\n`)
    chmodSync(file, 0o755)
  }
  function run(script: string, args: string[] = [], env: Record<string, string> = {}) {
    const PATH = `${path.join(folder, 'bin')}:${process.env.PATH}`
    return new Promise<{ code: number; out: string }>((resolve) => {
      execFile(path.join(folder, script), args, { env: { PATH, ...env }, cwd: folder }, (error, out, err) =>
        resolve({ code: error ? Number(error.code) : 0, out: out + err }),
      )
    })
  }
  const asked = () => (existsSync(path.join(folder, 'asked')) ? readFileSync(path.join(folder, 'asked'), 'utf8') : '')
  const kept = () => readdirSync(path.join(folder, 'backups')).sort()

  it('back up the database, the keys, the instances and the settings, and read the dump back', async () => {
    const { code, out } = await run('backup.sh')
    expect([code, out]).toEqual([0, expect.stringContaining('Done')])
    const [name] = kept()
    const files = readdirSync(path.join(folder, 'backups', name!)).sort()
    expect(files).toEqual(['SHA256SUMS', 'database.dump', 'env', 'evolution-api-1.tar.gz', 'evolution-redis.rdb'])
    expect(asked()).toContain('pg_restore --list')
  })

  it('keep the newest, and leave nothing unfinished behind', async () => {
    for (const day of ['01', '02', '03'])
      mkdirSync(path.join(folder, `backups/2026-01-${day}T030000Z`), { recursive: true })
    mkdirSync(path.join(folder, 'backups/mine'))
    await run('backup.sh', [], { BACKUP_KEEP: '2' })
    expect(kept()).toHaveLength(3)
    expect(kept()).toEqual(expect.arrayContaining(['2026-01-03T030000Z', 'mine']))

    program('docker-compose', 'case "$*" in "ps -q "*) echo id ;; *pg_dump*) echo PGDMP; exit 1 ;; esac')
    const before = kept()
    expect((await run('backup.sh')).code).not.toBe(0)
    expect(kept()).toEqual(before)
  })

  it('put back only what is whole', async () => {
    await run('backup.sh')
    const from = path.join(folder, 'backups', kept()[0]!)
    rmSync(path.join(folder, 'asked'))
    expect(await run('restore.sh', ['nowhere'])).toMatchObject({ code: 1, out: expect.stringContaining('no backup') })

    writeFileSync(path.join(from, 'database.dump'), 'changed')
    expect(await run('restore.sh', ['--yes', from])).toMatchObject({ code: 1, out: expect.stringContaining('damaged') })
    rmSync(path.join(from, 'SHA256SUMS'))
    rmSync(path.join(from, 'evolution-redis.rdb'))
    expect(await run('restore.sh', ['--yes', from])).toMatchObject({
      code: 1,
      out: expect.stringContaining('--without-sessions'),
    })
    expect(asked()).not.toMatch(/drop database|stop/)

    const { code, out } = await run('restore.sh', ['--yes', '--without-sessions', from])
    expect([code, out]).toEqual([0, expect.stringContaining('Done')])
    expect(asked()).toMatch(/drop database[\s\S]*pg_restore[\s\S]*run .* saas-api sessions-lost[\s\S]*up -d/)
  })
})
