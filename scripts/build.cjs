'use strict'
const { createHash } = require('node:crypto')
const { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { Failure, ROOT, explain } = require('./failure.cjs')
const { runNpm } = require('./npm.cjs')

const DIST = path.join(ROOT, 'dist')
const STAMP = path.join(DIST, '.built-from')

/** Compiles src/ into dist/ unless dist/ was made from exactly these sources; true when it had to. */
async function ensureBuilt() {
  const sources = sourceFiles()
  const hash = hashOf([...sources, 'tsconfig.json', 'tsconfig.build.json'])
  if (read(STAMP) === hash) return false
  const { code, output } = await runNpm(['run', 'build', '--silent'], 'Building (a few seconds) …')
  if (code !== 0) throw new Failure([output.trim(), 'The build failed.', explain(output)].filter(Boolean).join('\n'))
  removeLeftovers(new Set(sources))
  write(hash)
  return true
}

function sourceFiles() {
  return readdirSync(path.join(ROOT, 'src'), { recursive: true })
    .map((name) => path.join('src', name))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .sort()
}

function hashOf(files) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(path.join(ROOT, file)))
  return hash.digest('hex')
}

/** What came from a source that is gone would still be importable. */
function removeLeftovers(sources) {
  for (const name of readdirSync(DIST, { recursive: true })) {
    const source = path.join('src', name).replace(/\.js(\.map)?$/, '.ts')
    if (source.endsWith('.ts') && !sources.has(source)) rmSync(path.join(DIST, name), { force: true })
  }
}

function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

function write(hash) {
  try {
    writeFileSync(STAMP, hash)
  } catch (error) {
    throw new Failure(explain(String(error.code)) || String(error), { cause: error })
  }
}

module.exports = { ensureBuilt }
