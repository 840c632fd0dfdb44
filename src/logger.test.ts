import { AxiosError, AxiosHeaders } from 'axios'
import { createLogger } from './logger.js'

const SECRET = 'planted-secret-0123456789'

/** The line that comes of an entry. */
function lineOf(entry: object): string {
  let line = ''
  createLogger('info', { write: (text: string) => void (line += text) }).info(entry, 'something happened')
  return line
}

it.each<[string, object]>([
  ['an API key', { api_key: SECRET }],
  ["an engine's key", { data: { apikey: SECRET } }],
  ['a header', { req: { headers: { authorization: SECRET, 'x-api-key': SECRET } } }],
  ['a password in a list', { tries: [{ password: SECRET }, { old_password: SECRET, new_password: SECRET }] }],
  ['a token', { phone: { token: SECRET }, access_token: SECRET }],
  ['a signing secret', { webhook: { secret: SECRET }, phone: { webhook_secret: SECRET } }],
  ['what somebody wrote, and to whom', { message: { text: SECRET, caption: SECRET, recipient: SECRET } }],
  ['a picture to link with', { qr_code: SECRET, number: SECRET, pairing_code: SECRET }],
])('%s that reaches a line by its name is taken out, and the rest is kept', (_what, entry) => {
  const line = lineOf({ ...entry, request_id: 'r-1' })
  expect(line).not.toContain(SECRET)
  expect(JSON.parse(line)).toMatchObject({ level: 'info', msg: 'something happened', request_id: 'r-1' })
})

it('what was given is not changed', () => {
  const entry = { message: { text: SECRET } }
  lineOf(entry)
  expect(entry).toEqual({ message: { text: SECRET } })
})

it("an error tells its message and code, and nothing a library hung on it: axios keeps the engines' key there", () => {
  const config = { headers: new AxiosHeaders({ apikey: SECRET }), data: SECRET, url: 'http://evolution-api-1:8080' }
  const err = new AxiosError('Request failed', 'ECONNREFUSED', config, { _header: SECRET })
  const line = lineOf({ err: new Error('The engine does not answer', { cause: err }), other: 1 })
  for (const one of [line, lineOf({ err })]) expect(one).not.toContain(SECRET)
  expect(JSON.parse(lineOf({ err })).err).toMatchObject({ message: 'Request failed', code: 'ECONNREFUSED' })
  expect(JSON.parse(line).err).toMatchObject({ message: 'The engine does not answer', cause: 'Request failed' })
})
