import { ConfigError, readConfig } from '../../src/config.js'

/** What the start would refuse in this environment; nothing when it is good. */
export function problemsOf(environment: Record<string, string | undefined>): string[] {
  try {
    readConfig(environment)
    return []
  } catch (err) {
    if (err instanceof ConfigError) return err.problems
    throw err
  }
}
