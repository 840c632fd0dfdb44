import { userInfo } from 'node:os'
import { parseArgs } from 'node:util'
import { chooseDataFolder } from './embedded/data-folder.js'
import { knownSecret } from './embedded/secrets.js'
import { COMMANDS, type Call, usageText } from './admin-commands.js'
import { renderAnswer } from './admin-output.js'

/** The operator's shell: every command is one call of /api/admin, so both do and note the same. */
async function main(): Promise<void> {
  try {
    process.loadEnvFile('.env')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const { positionals, values } = readCommandLine(process.argv.slice(2))
  const command = COMMANDS.find(({ words }) => words.every((word, i) => positionals[i] === word))
  if (values.help || positionals.length === 0) return say(usageText())
  if (!command) throw new Error(`There is no command "${positionals.join(' ')}".\n${usageText()}`)
  const call = command.call(positionals.slice(command.words.length), values)
  const { status, text } = await post(call)
  if (status >= 400) throw new Error(messageOf(text) ?? `The server answered ${status}.`)
  say(values.json || call.raw ? text.trimEnd() : renderAnswer(text))
}

type Values = Record<string, string | boolean | undefined>

/** Any --name value or --name=value; what it means is the command's business. */
function readCommandLine(args: string[]): { positionals: string[]; values: Values } {
  const { tokens } = parseArgs({ args, strict: false, allowPositionals: true, tokens: true })
  const positionals: string[] = []
  const values: Values = {}
  const flags = new Set(['json', 'csv', 'help', 'force', 'purge', 'unlink-numbers', 'apply-to-users'])
  let open: string | undefined
  for (const token of tokens) {
    if (token.kind === 'option') {
      values[token.name] = token.value ?? true
      open = token.value === undefined && !flags.has(token.name) ? token.name : undefined
    } else if (token.kind === 'positional') {
      if (open !== undefined) values[open] = token.value
      else positionals.push(token.value)
      open = undefined
    }
  }
  return { positionals, values }
}

async function post({ method, path, body }: Call): Promise<{ status: number; text: string }> {
  const { url, key } = findServer()
  try {
    const response = await fetch(`${url}/api/admin${path}`, {
      method,
      headers: { 'x-admin-key': key, 'x-admin-actor': nameOfUser(), 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    return { status: response.status, text: await response.text() }
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).message
    throw new Error(
      `Nothing answers at ${url} (${cause}). Is the server running? Set PORT or ADMIN_URL to where it is.`,
      {
        cause: error,
      },
    )
  }
}

/** The running server of this machine: its port, and the key of its settings or of its data folder. */
function findServer(): { url: string; key: string } {
  const { ADMIN_URL, ADMIN_API_KEY, PORT, DATA_DIR } = process.env
  const url = (ADMIN_URL?.trim() || `http://127.0.0.1:${PORT?.trim() || '3000'}`).replace(/\/+$/, '')
  const key = ADMIN_API_KEY?.trim() || knownSecret(chooseDataFolder(DATA_DIR).data_dir, 'ADMIN_API_KEY')
  if (!key) throw new Error('Set ADMIN_API_KEY to the key of the server (see .env.example) and start both with it.')
  return { url, key }
}

function nameOfUser(): string {
  try {
    return userInfo().username.replace(/[^\w.@-]/g, '_')
  } catch {
    return 'unknown' // a uid without a name, as in a container
  }
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message
  } catch {
    return undefined
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
