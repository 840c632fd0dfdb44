import { EngineUnreachable } from '../clients/engine-http.js'
import { judgeAnswer, judgeSilence } from './outcomes.js'

const error = (status: number, message: unknown) => ({ status, body: { status, error: 'x', response: { message } } })
const judge = (answer: { status: number; body: unknown }, group = false) => judgeAnswer(answer, { group })

it('only a success with the id of a message is sent', () => {
  expect(judge({ status: 201, body: { key: { id: '3EB0' } } })).toEqual({ kind: 'sent', whatsapp_id: '3EB0' })
  for (const body of [{}, null, '', 'ok', { key: {} }, { key: { id: '' } }, { key: { id: 7 } }, []])
    expect(judge({ status: 201, body }).kind).toBe('ambiguous')
})

/** Texts of Evolution 2.3.6, and what a stand-in for WhatsApp had received when the engine answered so. */
it.each<[string, ReturnType<typeof error>, object]>([
  ['a closed connection', error(400, ['Error: Connection Closed']), { kind: 'wait', reason: 'number_disconnected' }],
  ['a closed connection as a 500', error(500, 'Connection Closed'), { kind: 'wait', reason: 'number_disconnected' }],
  [
    'no socket yet',
    error(500, "Cannot read properties of undefined (reading 'onWhatsApp')"),
    { kind: 'wait', reason: 'number_disconnected' },
  ],
  [
    'a QR code is shown',
    error(400, ["TypeError: Cannot read properties of undefined (reading 'id')"]),
    { kind: 'wait', reason: 'number_disconnected' },
  ],
  [
    'an instance that is not loaded (yet)',
    error(500, "Cannot read properties of undefined (reading 'textMessage')"),
    { kind: 'wait', reason: 'number_disconnected' },
  ],
  ['1006', error(400, ['1006']), { kind: 'wait', reason: 'engine_error' }],
  ['no sessions', error(400, ['SessionError: No sessions']), { kind: 'wait', reason: 'engine_error' }],
  ['any 500 of its own', error(500, 'Internal Server Error'), { kind: 'wait', reason: 'engine_error' }],
  [
    'a failed upload',
    error(500, ['Error: Media upload failed on all hosts']),
    { kind: 'wait', reason: 'engine_error' },
  ],
  [
    'an unknown instance',
    error(404, ['The "x" instance does not exist']),
    { kind: 'wait', reason: 'number_disconnected' },
  ],
  ['a wrong key', error(401, 'Unauthorized'), { kind: 'wait', reason: 'server_refused' }],
  [
    'too many requests',
    { status: 429, body: { status: 429, error: 'x', response: { message: '' } } },
    { kind: 'wait', reason: 'server_refused' },
  ],
  [
    'nobody of that number',
    error(400, [{ jid: '628@s.whatsapp.net', exists: false, number: '628' }]),
    { kind: 'failed', code: 'recipient_not_on_whatsapp' },
  ],
  ['a violated schema', error(400, [['requires property "number"']]), { kind: 'failed', code: 'invalid_request' }],
  ['no text', error(400, ['Text is required']), { kind: 'failed', code: 'invalid_request' }],
  ['unusable media', error(400, ['Owned media must be a url or base64']), { kind: 'failed', code: 'media_rejected' }],
  [
    'no sound',
    error(400, ['Owned media must be a url, base64, or valid file with buffer']),
    { kind: 'failed', code: 'media_rejected' },
  ],
  [
    'a reaction of many emoji',
    error(400, ['Reaction must be a single emoji or empty string']),
    { kind: 'failed', code: 'invalid_request' },
  ],
  ['a body too large', error(413, ['request entity too large']), { kind: 'failed', code: 'media_rejected' }],
  [
    'a body too large for a proxy',
    { status: 413, body: '<html><title>413 Request Entity Too Large</title></html>' as never },
    { kind: 'failed', code: 'media_rejected' },
  ],
  ['Timed Out', error(400, ['Error: Timed Out']), { kind: 'ambiguous' }],
  [
    'a database error after the write',
    error(400, ['PrismaClientKnownRequestError: The table `public.Message` does not exist. Connection Closed']),
    { kind: 'ambiguous' },
  ],
  [
    'a database error that quotes the words of a message',
    error(400, [
      "PrismaClientKnownRequestError: { caption: 'Owned media must be a url or base64; filename is required' }",
    ]),
    { kind: 'ambiguous' },
  ],
  ['a text never seen', error(400, ['Something new']), { kind: 'ambiguous' }],
])('%s is judged as seen', (_what, answer, outcome) => {
  expect(judge(answer)).toMatchObject(outcome)
})

it('what is not shaped like an answer of Evolution is a proxy’s, and tells nothing', () => {
  for (const status of [400, 404, 500, 502, 503, 504])
    for (const body of [
      '<html>Bad Gateway</html>',
      '',
      null,
      {},
      { error: 'Connection Closed' },
      { status, message: 'x' },
    ])
      expect(judge({ status, body }).kind).toBe('ambiguous')
})

it('[object Object] means no member of that group, and nothing to a person', () => {
  expect(judge(error(400, ['[object Object]']), true)).toMatchObject({
    kind: 'failed',
    code: 'recipient_not_on_whatsapp',
  })
  expect(judge(error(400, ['[object Object]']), false).kind).toBe('ambiguous')
})

it('silence is a wait only where nothing can have been written', () => {
  expect(judgeSilence(new EngineUnreachable('ECONNREFUSED', false))).toMatchObject({
    kind: 'wait',
    reason: 'server_unreachable',
  })
  expect(judgeSilence(new EngineUnreachable('ECONNRESET', true)).kind).toBe('ambiguous')
})
