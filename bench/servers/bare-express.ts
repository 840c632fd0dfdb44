import express, { type Request, type Response } from 'express'
import { Pool } from 'undici'

/** B2: Express 5, its JSON parser and undici; `/echo` answers what it got and is the yardstick of the ingress. */
const engine = new Pool(process.env.ENGINE_URL!, { connections: 64 })

async function passOn(req: Request, res: Response) {
  const answer = await engine.request({
    method: 'POST',
    path: '/message/sendText/bench',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(req.body),
  })
  res.json(await answer.body.json())
}

function echo(req: Request, res: Response) {
  res.json(req.body)
}

const server = express()
  .use(express.json({ limit: '5mb' }))
  .post('/api/messages/send-text', passOn)
  .post('/echo', echo)
  .listen(Number(process.env.PORT), '127.0.0.1')
server.keepAliveTimeout = 600_000
