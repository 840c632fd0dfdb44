import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expectRefusal } from './support/refusal.js'
import { type ConnectedNumber, type TestApp, type TestUser, startTestApp } from './support/test-app.js'

const ascii = (text: string) => Buffer.from(text, 'latin1')
const FILES: Record<string, Buffer> = {
  'photo.png': Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  ),
  'clip.mp4': Buffer.concat([
    ascii('\0\0\0\x18ftypmp42\0\0\0\0mp42isom'),
    ascii('\0\0\0\x20hdlr\0\0\0\0\0\0\0\0vide'),
    Buffer.alloc(64),
  ]),
  'song.mp3': Buffer.concat([ascii('ID3\x03\0\0\0\0\0\0'), Buffer.from([0xff, 0xfb, 0x90, 0x64]), Buffer.alloc(500)]),
  'report.pdf': ascii('%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n'),
}

let app: TestApp
let user: TestUser
let phone: ConnectedNumber
let files: Server
let filesUrl: string
beforeAll(async () => {
  files = createServer((req, res) => {
    const name = req.url!.slice(1)
    if (name === 'moved') res.writeHead(302, { location: '/photo.png' }).end()
    else if (name === 'huge.bin')
      res.writeHead(200, { 'content-length': 3 * 1024 * 1024 }).end(Buffer.alloc(3 * 1024 * 1024))
    else if (name === 'endless') for (let n = 0; n < 40; n++) res.write(Buffer.alloc(64 * 1024))
    else if (FILES[name]) res.end(FILES[name])
    else res.writeHead(404).end()
  })
  await new Promise<void>((resolve) => files.listen(0, '127.0.0.1', resolve))
  filesUrl = `http://127.0.0.1:${(files.address() as AddressInfo).port}`
  app = await startTestApp({ env: { MEDIA_MAX_MB: '1' } })
  user = await app.createUser()
  phone = await app.connectedNumber(user)
})
afterAll(async () => {
  await app.stop()
  files.closeAllConnections()
  files.close()
})

const to = '628000000003'
const send = (fields: object) => user.post('/api/messages/send-media', { token: phone.token, number: to, ...fields })
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('base64')
const lastSent = () => phone.controls.ledger.messagesOf({ instance: phone.engine_name }).at(-1)!
const lastRequest = () => phone.controls.requests({ path: '/message/sendMedia' }).requests.at(-1)!.body
const used = async () => (await user.get('/api/dashboard')).body.dashboard.usage_today.used as number

const KINDS = [
  ['image', 'photo.png', 'image/png'],
  ['video', 'clip.mp4', 'video/mp4'],
  ['audio', 'song.mp3', 'audio/mpeg'],
  ['document', 'report.pdf', 'application/pdf'],
] as const

it.each(KINDS)('sends %s from a URL, byte for byte', async (mediaType, name, mimetype) => {
  const { status, body } = await send({ mediaUrl: `${filesUrl}/${name}`, mediaType, caption: 'Look' })
  expect([status, body.message?.type, body.message?.status]).toEqual([200, mediaType, 'sent'])
  expect(lastRequest()).toMatchObject({ number: to, mediatype: mediaType, mimetype, fileName: name, caption: 'Look' })
  expect(lastSent()).toMatchObject({ recipient: to, media_sha256: sha256(FILES[name]!) })
  const { rows } = await app.db.query('select 1 from media')
  expect(rows).toEqual([]) // the bytes are kept no longer than they are needed
})

it.each(KINDS)('sends %s as base64, under the name it is given', async (mediaType, name, mimetype) => {
  const file = FILES[name]!
  const fileName = `Büro ${name}`
  const { status } = await send({ base64: file.toString('base64'), mediaType, fileName })
  expect(status).toBe(200)
  expect(lastRequest()).toMatchObject({ mediatype: mediaType, mimetype, fileName })
  expect(lastSent().media_sha256).toBe(sha256(file))
})

it('takes a data URL, and names a file that has no name', async () => {
  const base64 = `data:image/png;base64,${FILES['photo.png']!.toString('base64')}`
  expect((await send({ base64, mediaType: 'image' })).status).toBe(200)
  expect(lastRequest()).toMatchObject({ fileName: 'image.png', mimetype: 'image/png' })
})

it.each(KINDS)('sends %s as an upload', async (mediaType, name, mimetype) => {
  const answer = await user
    .post('/api/messages/send-media')
    .field({ token: phone.token, number: to, mediaType, caption: 'Uploaded' })
    .attach('file', FILES[name]!, name)
  expect([answer.status, answer.body.message?.status]).toEqual([200, 'sent'])
  expect(lastRequest()).toMatchObject({ mediatype: mediaType, mimetype, fileName: name, caption: 'Uploaded' })
  expect(lastSent().media_sha256).toBe(sha256(FILES[name]!))
})

it('goes by the bytes and not by the name', async () => {
  const answer = await send({
    base64: FILES['photo.png']!.toString('base64'),
    mediaType: 'image',
    fileName: 'song.mp3',
  })
  expect(answer.status).toBe(200)
  expect(lastRequest()).toMatchObject({ fileName: 'song.png', mimetype: 'image/png' })
})

it.each([
  ['of another kind', 422, 'media_rejected', { base64: FILES['report.pdf']!.toString('base64'), mediaType: 'image' }],
  ['that is empty', 400, 'invalid_request', { base64: 'data:image/png;base64,', mediaType: 'image' }],
  ['that is no base64', 400, 'invalid_request', { base64: '§§§', mediaType: 'image' }],
  [
    'larger than allowed',
    413,
    'payload_too_large',
    { base64: Buffer.alloc(1_100_000).toString('base64'), mediaType: 'document' },
  ],
  ['that is missing', 400, 'invalid_request', { mediaType: 'image' }],
] as const)('refuses a file %s and charges nothing', async (_what, status, code, fields) => {
  const before = await used()
  expectRefusal(await send(fields), status, code)
  expect(await used()).toBe(before)
})

it.each([
  ['answers 404', 422, 'media_rejected', 'nothing-there'],
  ['redirects', 422, 'media_rejected', 'moved'],
  ['announces more than allowed', 413, 'payload_too_large', 'huge.bin'],
  ['sends more than allowed', 413, 'payload_too_large', 'endless'],
] as const)('refuses a URL that %s and charges nothing', async (_what, status, code, path) => {
  const before = await used()
  expectRefusal(await send({ mediaUrl: `${filesUrl}/${path}`, mediaType: 'document' }), status, code)
  expect(await used()).toBe(before)
})

it('refuses an upload that is too large, and a second file', async () => {
  const upload = () =>
    user.post('/api/messages/send-media').field({ token: phone.token, number: to, mediaType: 'document' })
  expectRefusal(await upload().attach('file', Buffer.alloc(1_100_000), 'big.bin'), 413, 'payload_too_large')
  const two = await upload().attach('file', FILES['report.pdf']!, 'a.pdf').attach('file', FILES['report.pdf']!, 'b.pdf')
  expectRefusal(two, 400, 'invalid_request')
})

it('sends a file again whose first upload failed at WhatsApp, and WhatsApp gets it once', async () => {
  const file = FILES['photo.png']!
  const answer = await send({ number: '628000000014', base64: file.toString('base64'), mediaType: 'image' }).timeout(
    20_000,
  )
  expect([answer.status, answer.body.message.status]).toEqual([200, 'sent'])
  const sent = phone.controls.ledger.messagesOf({ recipient: '628000000014' })
  expect(sent.map(({ media_sha256 }) => media_sha256)).toEqual([sha256(file)])
})
