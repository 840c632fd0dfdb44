import request from 'supertest'
import { expectRefusal } from './support/refusal.js'
import { type TestApp, type TestUser, eventually, startTestApp } from './support/test-app.js'

let app: TestApp
let user: TestUser
beforeAll(async () => {
  app = await startTestApp({ env: { BRAND_NAME: 'Toko <Maju>', SERVER_URL: 'https://wa.example.com' } })
  user = await app.createUser()
})
afterAll(() => app.stop())

/** A number and its page, called at the address of this test server. */
async function withPage(body: object = {}) {
  const created = await user.post('/api/phone-numbers/create', { display_name: 'Kasir "1"' })
  const phone = created.body.phone_number as { id: number; instance_name: string; token: string }
  const { link } = (await user.post(`/api/phone-numbers/${phone.id}/link`, body)).body
  const path = new URL(link.url as string).pathname
  return {
    ...phone,
    link,
    path,
    page: () => request(app.url).get(path),
    status: () => request(app.url).get(`${path}/status`),
  }
}

it('shows the code, needs no key, and turns to connected by itself', async () => {
  const phone = await withPage()
  expect(phone.link.url).toMatch(/^https:\/\/wa\.example\.com\/link\/[\w-]{43}$/)
  expect(Date.parse(phone.link.expires_at as string) - Date.now()).toBeGreaterThan(23 * 3_600_000)
  const shown = (await phone.status()).body.link
  expect(shown).toEqual({
    status: 'qr_ready',
    qr_code: expect.stringMatching(/^data:image\/png/),
    pairing_code: null,
    expires_in: expect.any(Number),
  })
  const engine_name = `${phone.instance_name}_g1`
  app.sandboxOf(engine_name).controls.scan(engine_name)
  await eventually(async () => (await phone.status()).body.link.status === 'connected')
  expect((await phone.status()).body.link.qr_code).toBeNull()
})

it('speaks Indonesian or English, carries the brand, and loads nothing from elsewhere', async () => {
  const phone = await withPage()
  const indonesian = await phone.page()
  expect(indonesian.text).toContain('lang="id"')
  expect(indonesian.text).toContain('Perangkat tertaut')
  expect(indonesian.text).toContain('Toko &lt;Maju&gt;')
  expect(indonesian.text).toContain('Kasir &quot;1&quot;')
  expect((await phone.page().set('accept-language', 'en-GB,en;q=0.9')).text).toContain('Linked devices')
  expect((await request(app.url).get(`${phone.path}?lang=en`)).text).toContain('Linked devices')
  expect(indonesian.headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
  expect(indonesian.headers['cache-control']).toBe('no-store')
  expect(indonesian.headers['referrer-policy']).toBe('no-referrer')
  expect(indonesian.text).not.toMatch(/<script>|onclick|style=|https?:\/\//)
  for (const secret of [phone.token, user.api_key]) expect(indonesian.text).not.toContain(secret)
  const files = [...indonesian.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((match) => match[1]!)
  expect(files).toEqual(['/pages/page.css', '/pages/link.mjs'])
  for (const file of files) expect((await request(app.url).get(file)).status).toBe(200)
})

it('gives a pairing code too', async () => {
  const phone = await withPage()
  const ask = (phone_number: string) => request(app.url).post(`${phone.path}/pairing-code`).send({ phone_number })
  expectRefusal(await ask('nonsense'), 400, 'invalid_request')
  const { body } = await ask('081234567890')
  expect(body.link).toMatchObject({ status: 'qr_ready', pairing_code: expect.stringMatching(/^[A-Z0-9]{8}$/) })
  expect((await phone.status()).body.link.pairing_code).toBe(body.link.pairing_code)
})

it('is replaced by a new one, can be revoked, and ends with its time, its number or its user', async () => {
  const gone = async (phone: Awaited<ReturnType<typeof withPage>>) => {
    expectRefusal(await phone.status(), 404, 'not_found')
    const page = await phone.page()
    expect([page.status, page.type]).toEqual([404, 'text/html'])
    expect(page.text).toContain('tidak berlaku lagi')
  }
  const replaced = await withPage()
  expect((await user.post(`/api/phone-numbers/${replaced.id}/link`)).status).toBe(201)
  await gone(replaced)
  expect((await user.delete(`/api/phone-numbers/${replaced.id}/link`)).status).toBe(200)
  expectRefusal(await user.delete(`/api/phone-numbers/${replaced.id}/link`), 404, 'not_found')

  const old = await withPage({ expires_in_hours: 1 })
  await app.db.query(`update link_pages set expires_at = now() - interval '1 second' where phone_number_id = $1`, [
    old.id,
  ])
  await gone(old)
  const deleted = await withPage()
  await user.delete(`/api/phone-numbers/${deleted.id}`)
  await gone(deleted)
  for (const hours of [0, -1, 721, 'long'])
    expectRefusal(
      await user.post(`/api/phone-numbers/${old.id}/link`, { expires_in_hours: hours }),
      400,
      'invalid_request',
    )
  expectRefusal(await request(app.url).get('/link/nonsense/status'), 404, 'not_found')
})

it('keeps only a hash of the token', async () => {
  const phone = await withPage()
  const token = phone.path.split('/').at(-1)!
  const { rows } = await app.db.query<{ text: string }>('select link_pages::text as text from link_pages')
  expect(rows.map(({ text }) => text).join()).not.toContain(token)
})
