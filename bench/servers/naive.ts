import axios from 'axios'
import express, { type Request, type Response } from 'express'
import { Redis } from 'ioredis'
import pg from 'pg'

/** B4: how such a gateway is usually written: Express, axios, a Redis look-up and one query per step. */
const db = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 12 })
const redis = process.env.REDIS_URL ? new Redis(process.env.REDIS_URL) : undefined
const standIn = new Map<string, number>()

const count = async (key: string) => {
  if (redis) return redis.incr(key)
  standIn.set(key, (standIn.get(key) ?? 0) + 1)
  return Promise.resolve(standIn.get(key)!)
}

async function one(text: string, values: unknown[]): Promise<Record<string, unknown> | undefined> {
  const { rows } = await db.query<Record<string, unknown>>(text, values)
  return rows[0]
}

async function send(req: Request, res: Response) {
  const body = req.body as { token: string; number: string; text: string }
  const user = await one('select id, daily_limit from naive.users where api_key = $1', [req.get('x-api-key')])
  if (!user) return void res.status(401).json({ error: 'unauthorized' })
  if ((await count(`rate:${String(user.id)}`)) > 1e9) return void res.status(429).json({ error: 'rate limited' })
  const phone = await one('select id, instance from naive.numbers where token = $1 and user_id = $2', [
    body.token,
    user.id,
  ])
  if (!phone) return void res.status(404).json({ error: 'not found' })
  const usage = await one('select used from naive.usage where user_id = $1 and day = current_date', [user.id])
  if (Number(usage?.used ?? 0) >= Number(user.daily_limit)) return void res.status(429).json({ error: 'quota' })
  const message = await one(
    `insert into naive.messages (user_id, number_id, recipient, content, status)
     values ($1, $2, $3, $4, 'pending') returning id`,
    [user.id, phone.id, body.number, { text: body.text }],
  )
  const engine = `${process.env.ENGINE_URL}/message/sendText/${String(phone.instance)}`
  const answer = await axios.post<{ key: { id: string } }>(engine, { number: body.number, text: body.text })
  await one(`update naive.messages set status = 'sent', whatsapp_id = $2, sent_at = now() where id = $1`, [
    message!.id,
    answer.data.key.id,
  ])
  await one(
    `insert into naive.usage (user_id, day, used) values ($1, current_date, 1)
         on conflict (user_id, day) do update set used = naive.usage.used + 1`,
    [user.id],
  )
  res.json({ success: true, message: { id: message!.id, status: 'sent', whatsapp_id: answer.data.key.id } })
}

const server = express()
  .use(express.json())
  .post('/api/messages/send-text', send)
  .listen(Number(process.env.PORT), '127.0.0.1')
server.keepAliveTimeout = 600_000
