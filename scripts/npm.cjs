'use strict'
const { spawn } = require('node:child_process')
const { ROOT, Failure } = require('./failure.cjs')

const REMINDER_MS = 15_000

/** Runs npm quietly, with a sign of life now and then; its output is for the caller to show when it fails. */
function runNpm(args, title) {
  process.stdout.write(`${title}\n`)
  const began = Date.now()
  const seconds = () => Math.round((Date.now() - began) / 1000)
  const reminder = setInterval(() => process.stdout.write(`  … still at it (${seconds()} s)\n`), REMINDER_MS)
  const [program, first] = npmProgram()
  const child = spawn(program, [...first, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  const relays = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => [signal, () => end(child, signal)])
  for (const [signal, relay] of relays) process.on(signal, relay)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', () => reject(new Failure('npm is not on the PATH; install Node.js together with npm.')))
    child.once('close', (code) => {
      for (const [signal, relay] of relays) process.off(signal, relay)
      resolve({ code, output, seconds: seconds() })
    })
  }).finally(() => clearInterval(reminder))
}

function end(child, signal) {
  child.once('close', () => process.exit(130))
  child.kill(signal)
}

function npmProgram() {
  const current = process.env.npm_execpath ?? ''
  if (/npm-cli\.c?js$/.test(current)) return [process.execPath, [current]]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm', []]
}

module.exports = { runNpm }
