import { Webhook } from 'standardwebhooks'
import { type TestApp, eventually, startTestApp } from './support/test-app.js'
import { WebhookSink } from './support/webhook-sink.js'

let app: TestApp
let sink: WebhookSink
beforeAll(async () => {
  app = await startTestApp()
  sink = await WebhookSink.start()
})
afterAll(async () => {
  await app.stop()
  await sink.stop()
})

it('sends a text, hears the answer, and tells the webhook with a signature a stock library accepts', async () => {
  const user = await app.createUser()
  const phone = await app.connectedNumber(user, { webhook_url: sink.url })
  const sent = await user.post('/api/messages/send-text', { token: phone.token, number: '628000000001', text: 'Hello' })
  expect(sent.status).toBe(200)
  expect(sent.body.message).toMatchObject({ status: 'sent', recipient: '628000000001', type: 'text', error: null })

  await eventually(() => sink.ofType('message.received').length === 1)
  const [echo] = sink.ofType('message.received')
  expect(echo!.body.data.message).toMatchObject({ from: '628000000001', content: { text: 'Echo: Hello' } })
  expect(() =>
    new Webhook(phone.webhook_secret!).verify(echo!.text, echo!.headers as Record<string, string>),
  ).not.toThrow()
})
