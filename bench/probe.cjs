'use strict'
/* Preloaded into every server under test: answers the bench what the process has cost so far. */
process.on('message', (question) => {
  if (question === 'cost') process.send({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() })
})
process.on('disconnect', () => setTimeout(() => process.exit(), 12_000).unref())
