import request from 'supertest'
import { ADMIN_KEY, operatorOf } from './support/operator.js'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp({ env: { ADMIN_API_KEY: ADMIN_KEY, SERVER_URL: 'https://wa.example.com' } })
})
afterAll(() => app.stop())

it('a link page shows nothing while its user is suspended or expired', async () => {
  const user = await app.createUser()
  const admin = operatorOf(app.url)
  const { id } = (await user.post('/api/phone-numbers/create', { display_name: 'Kasir' })).body.phone_number
  const { link } = (await user.post(`/api/phone-numbers/${id}/link`)).body
  const status = () => request(app.url).get(`${new URL(link.url as string).pathname}/status`)
  expect((await status()).status).toBe(200)
  await admin.post(`/users/${user.id}/suspend`, {})
  expectRefusal(await status(), 404, 'not_found')
  await admin.post(`/users/${user.id}/activate`)
  expect((await status()).status).toBe(200)
  await admin.patch(`/users/${user.id}`, { active_until: '2020-01-01T00:00:00Z' })
  expectRefusal(await status(), 404, 'not_found')
})
