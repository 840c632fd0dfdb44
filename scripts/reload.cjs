'use strict'
const { spawn } = require('node:child_process')
const { watch } = require('node:fs')
const path = require('node:path')
const { ROOT } = require('./failure.cjs')

const SETTLE_MS = 150

/**
 * Runs node with these arguments and starts it anew, after it has closed in good order, whenever a source changes.
 * The child has a process group of its own: Ctrl-C reaches it once, from here (npm would deliver it a second time,
 * which means "force"). It ends with this process through its IPC channel.
 */
function reloadOnChange(args) {
  let child = start(process.env)
  let stopping = false
  let timer

  function start(env) {
    const started = spawn(process.execPath, args, {
      cwd: ROOT,
      env,
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    started.once('exit', (code) => {
      started.ended = true
      if (stopping) process.exit(code ?? 1)
      else if (!started.replaced) process.stdout.write('Waiting for a change in src …\n')
    })
    return started
  }

  function restart() {
    if (stopping || child.replaced) return
    child.replaced = true
    const next = () => {
      if (stopping) process.exit(0)
      process.stdout.write('Reloading …\n')
      child = start({ ...process.env, RELOADED: '1' })
    }
    if (child.ended) next()
    else child.once('exit', next).kill('SIGTERM')
  }

  function stop() {
    if (stopping) return
    stopping = true
    if (child.ended) process.exit(0)
    child.kill('SIGTERM')
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop)
  process.on('disconnect', stop)
  watch(path.join(ROOT, 'src'), { recursive: true }, () => {
    clearTimeout(timer)
    timer = setTimeout(restart, SETTLE_MS)
  })
}

module.exports = { reloadOnChange }
