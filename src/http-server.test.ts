import type { AddressInfo } from 'node:net'
import express from 'express'
import { createHttpServer } from './http-server.js'
import { createLogger } from './logger.js'
import { Load } from './services/load.js'

it('gives birth to requests as Express wants them, which would slow down all that it has to change', async () => {
  const app = express().use((_req, res) => void res.json({}))
  const sources = { parked: () => 0, commits: () => ({ depth: 0, age_ms: 0 }) }
  const load = new Load(sources, { max_active_requests: 10 }, createLogger('silent'))
  const server = createHttpServer(app, load)
  const seen: unknown[] = []
  server.prependListener('request', (...born) => seen.push(...born.map((object) => Object.getPrototypeOf(object))))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    expect(await answer.json()).toEqual({})
    expect(seen).toEqual([app.request, app.response])
    expect(seen[0]).toBe(app.request)
    expect(seen[1]).toBe(app.response)
  } finally {
    server.close()
  }
})
