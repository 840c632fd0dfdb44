import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Row } from './support/figures.js'
import { printTable } from './support/figures.js'
import { pinned, stepAside } from './support/process.js'
import { type Stage, openStage } from './support/stage.js'
import { backlog } from './parts/backlog.js'
import { delivery } from './parts/delivery.js'
import { idle } from './parts/idle.js'
import { ingress } from './parts/ingress.js'
import { key } from './parts/key.js'
import { large } from './parts/large.js'
import { lone } from './parts/lone.js'
import { queue } from './parts/queue.js'
import { send } from './parts/send.js'

interface Part {
  title: string
  run: (stage: Stage) => Promise<Row[]>
}

const PARTS: Record<string, Part> = {
  send: { title: 'Sending: POST /api/messages/send-text, 256 callers, each with its own number', run: send },
  lone: { title: 'One lone send', run: lone },
  key: { title: 'Who is calling: one check of an API key', run: key },
  ingress: { title: 'Ingress: incoming messages over 128 connections, every 200 committed', run: ingress },
  delivery: { title: 'Webhook deliveries', run: delivery },
  idle: { title: 'Idle with 10,000 webhooks', run: idle },
  queue: { title: '100,000 queued messages', run: queue },
  backlog: { title: 'A backlog of 100,000 deliveries to slow receivers', run: backlog },
  large: { title: 'A large database against a small one: the send path', run: large },
}

/** Takes minutes and gigabytes, so it runs only when asked for: `npm run bench -- --large`. */
const ON_REQUEST = new Set(['large'])

async function main(names: string[]): Promise<void> {
  const unknown = names.filter((name) => !(name in PARTS))
  if (unknown.length > 0) {
    console.log(`There is no part ${unknown.join(', ')}. Parts: ${Object.keys(PARTS).join(', ')}.`)
    process.exitCode = 1
    return
  }
  describeMachine()
  stepAside()
  const began = performance.now()
  const rows: Row[] = []
  for (const name of names.length > 0 ? names : Object.keys(PARTS).filter((name) => !ON_REQUEST.has(name))) {
    const { title, run } = PARTS[name]!
    const stage = await openStage()
    try {
      const part = await run(stage)
      printTable(title, part)
      rows.push(...part)
    } finally {
      await stage.close()
    }
  }
  const below = rows.filter((row) => row.reached === false).length
  const barred = rows.filter((row) => row.reached !== undefined).length
  console.log(`\n${barred - below} of ${barred} bars reached in ${Math.round((performance.now() - began) / 1000)} s.`)
}

function describeMachine() {
  const gigabytes = Math.round(totalmem() / 1024 ** 3)
  console.log(`Node ${process.version}, ${availableParallelism()} cores (${cpus()[0]?.model.trim()}), ${gigabytes} GB.`)
  console.log(
    pinned
      ? 'The server under test has core 0 to itself; load, engine, PostgreSQL (fsync on) and Redis share the rest.'
      : 'Nothing is pinned (no taskset, or one core only): trust the CPU figures more than the rates.',
  )
}

await main(process.argv.slice(2).map((arg) => arg.replace(/^--/, '')))
