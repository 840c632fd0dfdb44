import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  // A code lives 400 ms here, and after two of them the engine gives up.
  app = await startTestApp({ sandbox: { qr_rotate_seconds: 0.4, qr_limit: 2 } })
  user = await app.createUser()
})
afterAll(() => app.stop())

const create = async () => {
  const { body } = await user.post('/api/phone-numbers/create', { display_name: 'Shop' })
  return body.phone_number as { id: number; instance_name: string; token: string; qr_code: string }
}
const qrOf = async (id: number) => (await user.get(`/api/phone-numbers/${id}/qr`)).body.phone_number
const statusOf = async (id: number) => (await user.get(`/api/phone-numbers/${id}/status`)).body.phone_number
const connects = (name: string) => app.sandboxOf(name).controls.requests({ path: `/instance/connect/${name}` }).requests

it('is shown as long as it is valid, and each new one in its place, with one socket in all', async () => {
  const phone = await create()
  const name = `${phone.instance_name}_g1`
  expect(await qrOf(phone.id)).toEqual({
    id: phone.id,
    status: 'qr_ready',
    status_reason: null,
    qr_code: phone.qr_code,
    qr_expires_at: expect.any(String),
    queued: 0,
  })
  await eventually(async () => (await qrOf(phone.id)).qr_code !== phone.qr_code)
  expect((await qrOf(phone.id)).qr_code).toMatch(/^data:image\/png;base64,/)
  expect(connects(name)).toHaveLength(1)
})

it('is gone once it is scanned', async () => {
  const phone = await create()
  const name = `${phone.instance_name}_g1`
  app.sandboxOf(name).controls.scan(name, { phone: '628119990001' })
  await eventually(async () => (await statusOf(phone.id)).status === 'connected')
  expect(await statusOf(phone.id)).toMatchObject({ phone_number: '628119990001', status_reason: null })
  expect(await qrOf(phone.id)).toMatchObject({ status: 'connected', qr_code: null, qr_expires_at: null })
  expect(connects(name)).toHaveLength(1)
})

it('comes anew for whoever asks after nobody scanned in time', async () => {
  const phone = await create()
  const name = `${phone.instance_name}_g1`
  await eventually(async () => (await statusOf(phone.id)).status === 'disconnected')
  expect(await statusOf(phone.id)).toMatchObject({ status_reason: 'qr_expired' })
  const again = await qrOf(phone.id)
  expect(again.status).toBe('qr_ready')
  expect(again.qr_code).not.toBe(phone.qr_code)
  expect(connects(name)).toHaveLength(2)
})

it('is opened by one of many who ask at once', async () => {
  const phone = await create()
  const name = `${phone.instance_name}_g1`
  await eventually(async () => (await statusOf(phone.id)).status === 'disconnected')
  const answers = await Promise.all(Array.from({ length: 8 }, () => qrOf(phone.id)))
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill('qr_ready'))
  expect(connects(name)).toHaveLength(2)
})

it('after a log-out is that of a new instance, and the number works again under its old name and token', async () => {
  const phone = await app.connectedNumber(user)
  phone.controls.disconnect(phone.engine_name, 401)
  await eventually(async () => (await statusOf(phone.id)).status_reason === 'logged_out')
  const refused = await user.post('/api/messages/send-text', { token: phone.token, number: '628000000003', text: 'Hi' })
  expectRefusal(refused, 409, 'phone_number_not_connected')

  expect(await qrOf(phone.id)).toMatchObject({ status: 'qr_ready', qr_code: expect.stringMatching(/^data:image/) })
  const renewed = `${phone.instance_name}_g2`
  const { controls } = app.sandboxOf(renewed)
  await eventually(() => Promise.resolve(controls.scan(renewed)))
  await eventually(async () => (await statusOf(phone.id)).status === 'connected')
  expect(await statusOf(phone.id)).toMatchObject({ instance_name: phone.instance_name, token: phone.token })
  await app.crew.remover.runDue()
  expect(app.sandboxes.flatMap((one) => one.controls.instances()).map(({ name }) => name)).not.toContain(
    phone.engine_name,
  )

  const text = 'After the relink'
  const sent = await user.post('/api/messages/send-text', { token: phone.token, number: '628000000003', text })
  expect(sent.body.message.status).toBe('sent')
  expect(controls.ledger.count(renewed, '628000000003', text)).toBe(1)
})
