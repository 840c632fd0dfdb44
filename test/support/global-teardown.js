import { rmSync } from 'node:fs'

export default async function globalTeardown() {
  const { close, data_dir } = globalThis.testPostgres
  await close()
  rmSync(data_dir, { recursive: true, force: true })
}
