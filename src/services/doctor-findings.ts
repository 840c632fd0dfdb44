export interface Finding {
  check: string
  status: 'ok' | 'warning' | 'problem'
  /** One sentence; when something is wrong, it says what to do. */
  message: string
}

export const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message })
export const warning = (check: string, message: string): Finding => ({ check, status: 'warning', message })
export const problem = (check: string, message: string): Finding => ({ check, status: 'problem', message })

export function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}
