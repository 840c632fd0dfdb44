'use strict'
const { existsSync, readFileSync } = require('node:fs')
const path = require('node:path')
const { Failure, ROOT, explain } = require('./failure.cjs')
const { runNpm } = require('./npm.cjs')

/** Installs what package-lock.json names unless it is there already; true when it had to. */
async function ensureInstalled() {
  if (isInstalled()) return false
  // Dev packages too, whatever NODE_ENV says: the compiler is one of them.
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, output, seconds } = await runNpm(args, 'Installing packages (about a minute, once) …')
  if (code !== 0) throw new Failure([output.trim(), 'npm ci failed.', explain(output)].filter(Boolean).join('\n'))
  process.stdout.write(`Installed in ${seconds} s.\n`)
  return true
}

/** npm's own record of what it installed, compared with what the lock file wants here. */
function isInstalled() {
  const wanted = packagesOf(path.join(ROOT, 'package-lock.json'))
  const present = packagesOf(path.join(ROOT, 'node_modules/.package-lock.json'))
  if (!wanted) throw new Failure(`package-lock.json is missing in ${ROOT}; fetch the whole repository.`)
  if (!present) return false
  return Object.entries(wanted).every(
    ([folder, { version, optional }]) =>
      folder === '' || optional || (present[folder]?.version === version && existsSync(path.join(ROOT, folder))),
  )
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return undefined
  }
}

module.exports = { ensureInstalled }
