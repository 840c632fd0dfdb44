import { Pool } from 'undici'

/** The yardstick of deliveries: posts one body as often as asked, `LANES` at a time, and drops the answers. */
const LANES = 64
const receivers = process.env.RECEIVER_URLS!.split(',').map((url) => new Pool(url, { connections: 16 }))
const body = JSON.stringify({ filler: 'x'.repeat(Number(process.env.BODY_BYTES)) })

async function loop(posts: { left: number }, receiver: Pool) {
  while (posts.left-- > 0) {
    const answer = await receiver.request({
      method: 'POST',
      path: '/',
      headers: { 'content-type': 'application/json' },
      body,
    })
    await answer.body.dump()
  }
}

process.on('message', (question: unknown) => {
  if (typeof question !== 'number') return
  const posts = { left: question }
  const started = performance.now()
  void Promise.all(Array.from({ length: LANES }, (_, lane) => loop(posts, receivers[lane % receivers.length]!))).then(
    () => process.send!({ ms: performance.now() - started }),
  )
})
