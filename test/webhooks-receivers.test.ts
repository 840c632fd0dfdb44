import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { newSecret, signatureHeaders } from '../src/webhooks/sign.js'

const folder = fileURLToPath(new URL('../docs/receivers/', import.meta.url))
const has = (program: string) => spawnSync(program, ['--version']).status === 0
const secret = newSecret()
const event = {
  id: 'evt_1',
  type: 'message.received',
  data: { message: { from: '628111222333', type: 'text', content: { text: 'Halo ✓ selamat pagi' } } },
}

function signed(id: string, options: { secrets?: string[]; at?: Date } = {}) {
  const body = JSON.stringify(event)
  const { secrets = [secret], at = new Date() } = options
  return {
    body,
    headers: { 'content-type': 'application/json', ...signatureHeaders({ id, timestamp: at, body, secrets }) },
  }
}

/** What each receiver must do, told to it over HTTP. */
function behavesWell(start: () => Promise<{ url: string; output: () => string }>) {
  let receiver: Awaited<ReturnType<typeof start>>
  beforeAll(async () => {
    receiver = await start()
  })
  const post = async ({ body, headers }: { body: string; headers: Record<string, string> }) =>
    (await fetch(receiver.url, { method: 'POST', body, headers })).status
  const handled = () => receiver.output().split('Halo ✓ selamat pagi').length - 1

  it('takes a genuine event once, and answers its repetition with 200', async () => {
    const before = handled()
    expect(await post(signed('evt_a'))).toBe(200)
    expect(await post(signed('evt_a'))).toBe(200)
    expect(await post(signed('evt_b'))).toBe(200)
    for (let tries = 0; handled() < before + 2 && tries < 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    expect(handled()).toBe(before + 2)
  })

  it('takes one that is signed with two secrets, as during a rotation', async () => {
    expect(await post(signed('evt_c', { secrets: [newSecret(), secret] }))).toBe(200)
  })

  it('refuses what was changed, signed with another secret, or is old', async () => {
    const good = signed('evt_d')
    expect(await post({ ...good, body: good.body.replace('628111222333', '628999999999') })).toBe(401)
    expect(await post(signed('evt_e', { secrets: [newSecret()] }))).toBe(401)
    expect(await post(signed('evt_f', { at: new Date(Date.now() - 3_600_000) }))).toBe(401)
  })
}

const children: ChildProcess[] = []
const scratch = mkdtempSync(path.join(tmpdir(), 'receivers-'))
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})

async function run(program: string, file: string) {
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    WEBHOOK_SECRET: secret,
    PORT: '0',
    SEEN_FILE: path.join(scratch, 'seen.sqlite'),
  }
  const child = spawn(program, [path.join(folder, file)], { env, cwd: scratch, stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  for (;;) {
    const port = /listening on (\d+)/.exec(output)?.[1]
    if (port) return { url: `http://127.0.0.1:${port}/webhook`, output: () => output }
    if (child.exitCode !== null) throw new Error(`${file} ended`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe('docs/receivers/express.js', () => {
  behavesWell(() => run(process.execPath, 'express.js'))
})

;(has('python3') ? describe : describe.skip)('docs/receivers/receiver.py', () => {
  behavesWell(() => run('python3', 'receiver.py'))
})

;(has('php') ? describe : describe.skip)('docs/receivers/VerifyWhatsAppWebhook.php', () => {
  it('knows a genuine event from others', () => {
    const { body, headers } = signed('evt_php')
    const ask = (text: string) =>
      execFileSync('php', [
        '-r',
        `require $argv[1]; echo App\\Http\\Middleware\\VerifyWhatsAppWebhook::isGenuine($argv[2], $argv[3], $argv[4], $argv[5], $argv[6], time()) ? 'yes' : 'no';`,
        path.join(folder, 'VerifyWhatsAppWebhook.php'),
        secret,
        headers['webhook-id'],
        headers['webhook-timestamp'],
        headers['webhook-signature'],
        text,
      ]).toString()
    expect([ask(body), ask(`${body} `)]).toEqual(['yes', 'no'])
  })
})

describe('docs/receivers/n8n-workflow.json', () => {
  const workflow = JSON.parse(readFileSync(path.join(folder, 'n8n-workflow.json'), 'utf8'))
  const node = (name: string) => workflow.nodes.find((one: { name: string }) => one.name === name)
  const stored: Record<string, unknown> = {}

  /** The code node, run with what n8n gives to one. */
  function runCode({ body, headers }: { body: string; headers: Record<string, string> }): Promise<unknown> {
    const code = (node('Verify and dedupe').parameters.jsCode as string).replace('whsec_PASTE_YOURS_HERE', secret)
    const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor
    const work = new AsyncFunction('$input', '$getWorkflowStaticData', 'require', code)
    const self = { helpers: { getBinaryDataBuffer: () => Promise.resolve(Buffer.from(body)) } }
    return work.call(self, { first: () => ({ json: { headers } }) }, () => stored, createRequire(import.meta.url))
  }

  it('has the raw body on, and hands it to the code', () => {
    expect(node('Webhook').parameters.options.rawBody).toBe(true)
    expect(workflow.connections.Webhook.main[0][0].node).toBe('Verify and dedupe')
  })

  it('lets a genuine event through once, and refuses others', async () => {
    expect(await runCode(signed('evt_n8n'))).toEqual([{ json: event }])
    expect(await runCode(signed('evt_n8n'))).toEqual([])
    await expect(runCode(signed('evt_other', { secrets: [newSecret()] }))).rejects.toThrow('wrong signature')
    await expect(runCode({ ...signed('evt_changed'), body: '{}' })).rejects.toThrow('wrong signature')
  })
})
