import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { Pool } from 'undici'

/** B1: node:http and undici, nothing between. */
const engine = new Pool(process.env.ENGINE_URL!, { connections: 64 })

async function passOn(req: IncomingMessage, res: ServerResponse) {
  const chunks: Buffer[] = []
  for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk)
  const answer = await engine.request({
    method: 'POST',
    path: '/message/sendText/bench',
    headers: { 'content-type': 'application/json' },
    body: Buffer.concat(chunks),
  })
  const text = await answer.body.text()
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

const server = createServer((req, res) => void passOn(req, res))
server.keepAliveTimeout = 600_000
server.listen(Number(process.env.PORT), '127.0.0.1')
