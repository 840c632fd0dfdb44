import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'

type SecretName = 'DB_PASSWORD' | 'EVOLUTION_API_KEY' | 'JWT_SECRET' | 'ADMIN_API_KEY'

/** The secret of this data folder: made on first use, kept in secrets.json (readable by its owner only). */
export function keptSecret(data_dir: string, name: SecretName): string {
  const file = path.join(data_dir, 'secrets.json')
  const kept = readSecrets(file)
  const known = kept[name]
  if (known) return known
  const made = randomBytes(32).toString('hex')
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify({ ...kept, [name]: made }, null, 2)}\n`, { mode: 0o600 })
  renameSync(draft, file)
  return made
}

/** The same, but never made: for a program beside the running server. */
export function knownSecret(data_dir: string, name: SecretName): string | undefined {
  return readSecrets(path.join(data_dir, 'secrets.json'))[name]
}

function readSecrets(file: string): Partial<Record<SecretName, string>> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Partial<Record<SecretName, string>>
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return {}
    if (code === 'EACCES')
      throw new Error(`${file} belongs to another user; start as that user, or set DATA_DIR to a folder of your own.`, {
        cause: error,
      })
    throw new Error(`${file} is damaged; put it back from a backup, or delete it to make new secrets.`, {
      cause: error,
    })
  }
}
