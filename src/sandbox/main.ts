import { parseArgs } from 'node:util'
import { SandboxDatabase, startSandbox, type Sandbox } from './server.js'

interface CommandLine {
  name: string
  host: string
  port: number
  count: number
  api_key: string
  data_dir: string | undefined
  scan_after_seconds: number | null
}

/** Flags win over the environment: --name or SANDBOX_NAME, --scan-after or SANDBOX_SCAN_AFTER, and so on. */
function readCommandLine(env: NodeJS.ProcessEnv): CommandLine {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: { name: text, host: text, port: text, count: text, 'api-key': text, 'data-dir': text, 'scan-after': text },
  })
  const apiKey = values['api-key'] ?? env.SANDBOX_API_KEY ?? env.EVOLUTION_API_KEY
  if (!apiKey) throw new Error('Give the sandbox a key: --api-key or SANDBOX_API_KEY.')
  const scanAfter = values['scan-after'] ?? env.SANDBOX_SCAN_AFTER
  return {
    name: values.name ?? env.SANDBOX_NAME ?? 'sandbox',
    host: values.host ?? env.SANDBOX_HOST ?? '127.0.0.1',
    port: wholeNumber('port', values.port ?? env.SANDBOX_PORT ?? '0'),
    count: wholeNumber('count', values.count ?? env.SANDBOX_COUNT ?? '1'),
    api_key: apiKey,
    data_dir: values['data-dir'] ?? env.SANDBOX_DATA_DIR,
    scan_after_seconds: scanAfter === undefined ? null : Number(scanAfter),
  }
}

function wholeNumber(flag: string, written: string): number {
  if (!/^\d+$/.test(written)) throw new Error(`--${flag} must be a whole number, not "${written}".`)
  return Number(written)
}

/** Several servers of one process share names and messages, as Evolution servers share one database. */
async function start({ count, name, port, data_dir, ...options }: CommandLine): Promise<Sandbox[]> {
  const database = SandboxDatabase.open(data_dir)
  const servers: Sandbox[] = []
  for (let index = 0; index < count; index++) {
    const own = count === 1 ? name : `${name}-${index + 1}`
    servers.push(await startSandbox({ ...options, name: own, port: port === 0 ? 0 : port + index, database }))
  }
  return servers
}

async function main(): Promise<void> {
  const commandLine = readCommandLine(process.env)
  const servers = await start(commandLine)
  const stop = (): void => {
    void Promise.all(servers.map((server) => server.close())).finally(() => process.exit(0))
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  for (const { name, url } of servers) process.stdout.write(`${name} listens on ${url}\n`)
  if (!process.send) return
  const listed = servers.map(({ name, url }) => ({ name, url }))
  process.send(commandLine.count === 1 ? { url: listed[0]?.url, servers: listed } : { servers: listed })
  process.once('disconnect', stop)
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
