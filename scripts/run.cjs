'use strict'
/* Written in old JavaScript, so that an old Node can read it and say what is wrong; the rest is in launch.cjs. */

var NEEDED = [20, 19]

function tooOld(version) {
  var parts = version.replace('v', '').split('.')
  var major = Number(parts[0])
  var minor = Number(parts[1])
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return ''
  return (
    'This program needs Node.js ' +
    NEEDED.join('.') +
    ' or newer, and this is ' +
    version +
    '. Install a current one from https://nodejs.org and try again.'
  )
}

module.exports = { tooOld: tooOld }

if (require.main === module) {
  var sentence = tooOld(process.version)
  if (sentence) {
    process.stderr.write(sentence + '\n')
    process.exitCode = 1
  } else {
    require('./launch.cjs').launch(process.argv[2], process.argv.slice(3))
  }
}
