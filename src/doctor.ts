import { examine } from './services/doctor.js'
import type { Finding } from './services/doctor-findings.js'

const MARK = { ok: 'ok      ', warning: 'warning ', problem: 'PROBLEM ' } as const

/** One line per thing looked at; ends with 1 when something is wrong. `--json` for programs. */
async function main(): Promise<number> {
  const args = process.argv.slice(2)
  if (args.some((arg) => arg !== '--json')) {
    process.stdout.write(
      'Usage: doctor [--json]\nLooks at everything the server needs. Ends with 1 when there is a problem.\n',
    )
    return args.includes('--help') ? 0 : 2
  }
  try {
    process.loadEnvFile('.env')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const findings = await examine(process.env)
  process.stdout.write(args.includes('--json') ? `${JSON.stringify({ findings }, null, 2)}\n` : asText(findings))
  return findings.some(({ status }) => status === 'problem') ? 1 : 0
}

function asText(findings: Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.map(({ check, status, message }) => `${MARK[status]}${check.padEnd(width)}  ${message}\n`)
  const problems = findings.filter(({ status }) => status === 'problem').length
  return lines.join('') + (problems > 0 ? `\n${problems} to put right.\n` : '\nNothing to put right.\n')
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  },
)
