// A receiver for Node.js 18 and newer:  npm install express standardwebhooks
// Start it with:                        WEBHOOK_SECRET=whsec_… node express.js
import express from 'express'
import { Webhook } from 'standardwebhooks'

const webhook = new Webhook(process.env.WEBHOOK_SECRET)
const app = express()

// At least once means: an event can come twice. Keep the ids where they outlive a restart (a table with a unique key,
// or Redis SET NX with an expiry of a week: attempts go on for days); a Map is enough to try it out.
const seen = new Map()
const isNew = (id) => {
  const cutoff = Date.now() - 7 * 24 * 60 * 60 * 1000
  for (const [old, at] of seen) if (at < cutoff) seen.delete(old)
  if (seen.has(id)) return false
  seen.set(id, Date.now())
  return true
}

// The signature is over the very bytes that came, so the body must not be parsed before.
app.post('/webhook', express.raw({ type: 'application/json', limit: '5mb' }), (req, res) => {
  let event
  try {
    event = webhook.verify(req.body, req.headers)
  } catch {
    return res.status(401).send('wrong signature')
  }
  // Answer first, work afterwards: whoever takes longer than 15 seconds gets the event again.
  res.status(200).send('ok')
  if (isNew(req.headers['webhook-id'])) setImmediate(handle, event)
})

function handle(event) {
  if (event.type === 'message.received') {
    const { from, content } = event.data.message
    console.log(`${from}: ${content.text ?? `[${event.data.message.type}]`}`)
  } else {
    console.log(event.type)
  }
}

const server = app.listen(Number(process.env.PORT ?? 4000), () => console.log(`listening on ${server.address().port}`))
