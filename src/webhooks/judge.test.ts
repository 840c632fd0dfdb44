import { judge } from './judge.js'

describe('a response', () => {
  test.each([200, 201, 202, 204, 299])('%i is delivered', (status) => {
    expect(judge({ status })).toEqual({ verdict: 'delivered' })
  })

  test('410 is gone', () => {
    expect(judge({ status: 410, retry_after: '5' })).toEqual({ verdict: 'gone', error: 'http_410' })
  })

  test.each([100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504, 599])(
    '%i is tried again',
    (status) => expect(judge({ status })).toEqual({ verdict: 'retry', error: `http_${status}` }),
  )

  test.each([429, 503])('%i keeps its Retry-After', (status) => {
    expect(judge({ status, retry_after: '30' })).toEqual({
      verdict: 'retry',
      error: `http_${status}`,
      retry_after: '30',
    })
  })

  test.each([301, 404, 500])('%i loses its Retry-After', (status) => {
    expect(judge({ status, retry_after: '30' })).not.toHaveProperty('retry_after')
  })

  test('counts although its body broke off', () => {
    expect(judge({ status: 200, error: { code: 'UND_ERR_BODY_TIMEOUT' } })).toEqual({ verdict: 'delivered' })
    expect(judge({ status: 500, error: { code: 'ECONNRESET' } })).toEqual({ verdict: 'retry', error: 'http_500' })
  })
})

describe('an error', () => {
  test.each([
    ['TARGET_REFUSED', 'target_refused'],
    ['ENOTFOUND', 'dns_failed'],
    ['EAI_AGAIN', 'dns_failed'],
    ['ECONNREFUSED', 'connection_refused'],
    ['ECONNRESET', 'connection_lost'],
    ['UND_ERR_SOCKET', 'connection_lost'],
    ['UND_ERR_CONNECT_TIMEOUT', 'connect_timeout'],
    ['UND_ERR_HEADERS_TIMEOUT', 'timeout'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_failed'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_failed'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls_failed'],
    ['HPE_INVALID_CONSTANT', 'invalid_response'],
    ['SOMETHING_NEW', 'network_error'],
    ['constructor', 'network_error'],
  ])('%s is tried again as %s', (code, error) => {
    expect(judge({ error: { code, message: 'secret detail' } })).toEqual({ verdict: 'retry', error })
  })

  test('without a code, or nothing at all, is tried again', () => {
    expect(judge({ error: {} })).toEqual({ verdict: 'retry', error: 'network_error' })
    expect(judge({})).toEqual({ verdict: 'retry', error: 'network_error' })
  })
})
