import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** When a process began, so that a reused process id is not mistaken for its former owner; '' when there is none. */
export function processStart(pid: number): string {
  try {
    if (process.platform !== 'linux') return ps('lstart', pid)
    const [state, , ...rest] = statOf(pid)
    return state === 'Z' ? '' : rest[17]!
  } catch {
    return ''
  }
}

/** The parent of a process, undefined when it is gone. */
export function parentOf(pid: number): number | undefined {
  try {
    return Number(process.platform === 'linux' ? statOf(pid)[1] : ps('ppid', pid))
  } catch {
    return undefined
  }
}

/** The full command line, '' when it cannot be read. */
export function commandOf(pid: number): string {
  try {
    return ps('command', pid)
  } catch {
    return ''
  }
}

function ps(column: string, pid: number): string {
  return execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim()
}

/** The fields of /proc/…/stat after the program's name, which may itself hold blanks: state, parent, … */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}
