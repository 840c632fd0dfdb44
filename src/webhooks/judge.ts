/** What came of one attempt: a response, or the error that came instead. */
export type AttemptResult = {
  status?: number | undefined
  error?: { code?: string | undefined; message?: string | undefined } | undefined
  retry_after?: string | undefined
}

/** `error` is a short code for the attempt's record; `retry_after` is the header where it may be followed. */
export type Judgement =
  | { verdict: 'delivered' }
  | { verdict: 'gone'; error: string }
  | { verdict: 'retry'; error: string; retry_after?: string }

const ERROR_NAMES: Record<string, string> = {
  TARGET_REFUSED: 'target_refused',
  ENOTFOUND: 'dns_failed',
  ENODATA: 'dns_failed',
  EAI_AGAIN: 'dns_failed',
  ESERVFAIL: 'dns_failed',
  ETIMEOUT: 'dns_failed',
  ECONNREFUSED: 'connection_refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ECONNRESET: 'connection_lost',
  EPIPE: 'connection_lost',
  UND_ERR_SOCKET: 'connection_lost',
  UND_ERR_CLOSED: 'connection_lost',
  UND_ERR_DESTROYED: 'connection_lost',
  ETIMEDOUT: 'connect_timeout',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_ABORTED: 'timeout',
  ABORT_ERR: 'timeout',
  UND_ERR_HEADERS_OVERFLOW: 'invalid_response',
  EPROTO: 'tls_failed',
  CERT_HAS_EXPIRED: 'tls_failed',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls_failed',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls_failed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls_failed',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls_failed',
}

/** Decides one attempt: any 2xx is delivered, 410 is gone, everything else is tried again (redirects are not followed). */
export function judge(result: AttemptResult): Judgement {
  const { status } = result
  // A status settles it even if the body broke off afterwards: the receiver has answered.
  if (status === undefined) return { verdict: 'retry', error: errorName(result.error?.code) }
  if (status >= 200 && status < 300) return { verdict: 'delivered' }

  const error = `http_${status}`
  if (status === 410) return { verdict: 'gone', error }
  const mayWait = status === 429 || status === 503
  return mayWait && result.retry_after
    ? { verdict: 'retry', error, retry_after: result.retry_after }
    : { verdict: 'retry', error }
}

function errorName(code = ''): string {
  if (Object.hasOwn(ERROR_NAMES, code)) return ERROR_NAMES[code]!
  if (/^(ERR_TLS|ERR_SSL|CERT_)/.test(code)) return 'tls_failed'
  if (/^HPE_/.test(code)) return 'invalid_response'
  return 'network_error'
}
