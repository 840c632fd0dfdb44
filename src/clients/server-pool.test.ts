import { ServerPool } from './server-pool.js'

it('who waits for room while a server moves reaches it at its new address', async () => {
  const pool = new ServerPool({ api_key: 'key', send_timeout_seconds: 5, server_concurrency: 1 })
  pool.set('engine', 'http://127.0.0.1:1')
  let finish = () => {}
  const first = pool.withRoom('engine', () => new Promise<void>((resolve) => (finish = resolve)))
  const second = pool.withRoom('engine', (client) => Promise.resolve(client.url))
  pool.set('engine', 'http://127.0.0.1:2')
  finish()
  await first
  expect(await second).toBe('http://127.0.0.1:2')
  await pool.close()
})
