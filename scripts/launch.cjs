'use strict'
const { spawn } = require('node:child_process')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { performance } = require('node:perf_hooks')
const { ensureInstalled } = require('./install.cjs')
const { ensureBuilt } = require('./build.cjs')
const { reloadOnChange } = require('./reload.cjs')
const { Failure, ROOT } = require('./failure.cjs')

const commands = {
  async start(args) {
    await prepare({ built: true })
    await runHere('dist/main.js', args)
  },
  async sandbox(args) {
    await prepare({ built: true })
    await runHere('dist/sandbox/main.js', args)
  },
  async admin(args) {
    await prepare({ built: true })
    await runHere('dist/admin.js', args)
  },
  async doctor(args) {
    await prepare({ built: true })
    await runHere('dist/doctor.js', args)
  },
  async dev(args) {
    await prepare({ built: false })
    reloadOnChange(['--import', 'tsx', 'src/main.ts', ...args])
  },
  async test(args) {
    await prepare({ built: true })
    await runJest(args)
  },
  /** --short: the form for every change; without it minutes to an hour. */
  async faults(args) {
    await prepare({ built: true })
    const rest = args.filter((arg) => arg !== '--short')
    const form = rest.length < args.length ? 'short' : process.env.FAULTS
    await runJest(['--config', 'jest.faults.config.js', ...rest], form ? { FAULTS: form } : {})
  },
}

async function launch(name, args) {
  try {
    const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
    if (!command) throw new Failure(`Use: node scripts/run.cjs ${Object.keys(commands).join('|')}`)
    process.chdir(ROOT)
    await command(args)
  } catch (error) {
    process.stderr.write(`${error instanceof Failure ? error.message : error.stack}\n`)
    process.exitCode = 1
  }
}

/** Jest runs ES modules through this flag; its workers inherit it. */
function runJest(args, env = {}) {
  const NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --experimental-vm-modules --no-warnings`.trim()
  return runChild(['node_modules/jest/bin/jest.js', ...args], { ...process.env, ...env, NODE_OPTIONS })
}

async function prepare({ built }) {
  const installed = await ensureInstalled()
  const compiled = built && (await ensureBuilt())
  // What the server prints as its starting time does not count the one-time work.
  if (installed || compiled) performance.mark('prepared')
}

/** In this very process: one process less to start, to signal and to clean up. */
async function runHere(file, args) {
  const program = path.join(ROOT, file)
  process.argv = [process.execPath, program, ...args]
  await import(pathToFileURL(program).href)
}

function runChild(args, env) {
  const child = spawn(process.execPath, args, { env, stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      process.exitCode = signal ? 1 : code
      resolve()
    })
  })
}

module.exports = { launch }
