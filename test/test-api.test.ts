import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePorts } from '../src/embedded/free-ports.js'

const MAIN = path.resolve('dist/main.js')

let product: ChildProcess
let folder: string
let base: string

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'test-api-'))
  const port = await freePorts(1)
  base = `http://127.0.0.1:${port}`
  // Started in the folder, so that no .env of the checkout is read, and with nothing set but where it lives.
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, PORT: String(port), DATA_DIR: path.join(folder, 'data'), LOG_LEVEL: 'warn' }
  product = spawn(process.execPath, [MAIN], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  await answersWith(product, base)
})

afterAll(async () => {
  const ended = new Promise((resolve) => product.once('exit', resolve))
  if (product.exitCode === null && product.kill('SIGTERM')) await ended
  rmSync(folder, { recursive: true, force: true })
})

it('walks through every call against the embedded default and passes', async () => {
  const { code, output } = await run([base])
  expect(output).toMatch(/webhook: message.received came, and its signature is right/)
  expect(output).toMatch(/\b0 skipped/)
  expect(output).not.toContain('FAIL')
  expect(code).toBe(0)
})

it('goes where the server has moved to', async () => {
  const nginx = createServer((req, res) => res.writeHead(308, { location: `${base}${req.url}` }).end())
  await new Promise<void>((resolve) => nginx.listen(0, '127.0.0.1', resolve))
  const moved = `http://127.0.0.1:${(nginx.address() as AddressInfo).port}`
  try {
    const { output } = await run([moved], { API_KEY: 'wsk_unknown' })
    expect(output).toContain(`${moved} moves to ${base}.\nTesting ${base} `)
    expect(output).toMatch(/FAIL {2}profile/)
  } finally {
    nginx.close()
  }
})

it('says what failed, and ends with an error', async () => {
  const { code, output } = await run([base], { API_KEY: 'wsk_unknown' })
  expect(output).toMatch(/FAIL {2}profile: expected status 200\n.*401/)
  expect(code).not.toBe(0)
})

function run(args: string[], env: Record<string, string> = {}): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const script = spawn('./test-api.sh', args, { env: { ...process.env, ...env } })
    let output = ''
    for (const stream of [script.stdout, script.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    script.on('error', reject)
    script.on('close', (code) => resolve({ code, output }))
  })
}

async function answersWith(server: ChildProcess, url: string): Promise<void> {
  let output = ''
  for (const stream of [server.stdout!, server.stderr!])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    if (server.exitCode !== null) break
    const answer = await fetch(`${url}/livez`).catch(() => undefined)
    if (answer?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`The product did not start:\n${output}`)
}
