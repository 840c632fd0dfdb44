import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MediaClient } from './media.js'

let server: Server
let port: number
beforeAll(async () => {
  server = createServer((req, res) => res.end(`what is at ${req.url}`))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => void server.close())

/** `PORT` stands for that of the server, in both. */
async function fetched(entry: string, url: string) {
  const [target, address] = [entry, url].map((text) => text.replace('PORT', String(port)))
  const client = new MediaClient({ private_targets: [target!], max_bytes: 1_000 })
  try {
    return (await client.fetch(address!)).bytes.toString()
  } finally {
    await client.close()
  }
}

it.each([
  ['127.0.0.1:PORT/public/', 'http://127.0.0.1:PORT/public/x'],
  ['127.0.0.1/public/', 'http://127.0.0.1:PORT/public/x'],
  ['LocalHost:PORT/public/', 'http://localhost:PORT/public/x'],
  ['127.0.0.1:PORT', 'http://localhost:PORT/private/../public/x'],
])('%s lets %s be fetched', async (entry, url) => {
  expect(await fetched(entry, url)).toBe('what is at /public/x')
})

it.each([
  ['127.0.0.1:PORT/public/', 'http://127.0.0.1:PORT/private/x'],
  ['127.0.0.1:PORT/public/', 'http://localhost:PORT/private/x'], // as would any name that leads there
  ['127.0.0.1:PORT/public/', 'http://localhost:PORT/public/x'],
  ['localhost:PORT/public/', 'http://localhost.:PORT/private/x'],
  ['localhost/public/', 'http://localhost:PORT/private/x'],
  ['LOCALHOST:PORT/public/', 'http://localhost:PORT/private/x'],
  ['127.0.0.1:PORT/public/', 'http://127.0.0.1:PORT/public/../private/x'],
  ['127.0.0.1:PORT/public/', 'http://127.0.0.1:PORT/public/%2e%2e/private/x'],
  ['127.0.0.1:PORT/public/', 'http://127.0.0.1:PORT/public/..%2fprivate/x'],
  ['127.0.0.1:PORT/public/', 'http://127.0.0.1:PORT/public/..%5cprivate/x'],
])('%s keeps %s inside', async (entry, url) => {
  await expect(fetched(entry, url)).rejects.toMatchObject({ reason: 'inside' })
})
