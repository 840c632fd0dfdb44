'use strict'
const path = require('node:path')

const ROOT = path.resolve(__dirname, '..')

/** Something the reader can mend: shown as a sentence, without a stack. */
class Failure extends Error {}

/** What went wrong in the words of its reader, from what npm, tsc or the file system said. */
function explain(output) {
  if (/EACCES|EPERM|EROFS/.test(output))
    return `${ROOT} is not writable for this user; make it so (chown), or work in a copy of your own.`
  if (/ENOSPC/.test(output)) return 'The disk is full.'
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network/i.test(output))
    return 'The npm registry could not be reached; check the network (or the registry and proxy set in npm) and try again.'
  return ''
}

module.exports = { Failure, ROOT, explain }
